using Dactyl.Protocol;
using Unity.MLAgents;
using Unity.MLAgents.Actuators;
using Unity.MLAgents.Policies;
using Unity.MLAgents.Sensors;
using UnityEngine;

namespace Dactyl.Stage
{
    /// <summary>
    /// Carries one sample's pictures to Python as visual observations, and with them [status, batch, sample, protocol], so
    /// that Python knows what it looks at. It decides and does nothing.
    /// </summary>
    public sealed class StageAgent : Agent
    {
        int m_Index;
        float m_Status, m_Batch;
        StageSensor[] m_Cameras;

        public static StageAgent Create(int index, ObservationShape shape)
        {
            var holder = new GameObject("Dactyl agent " + index);
            DontDestroyOnLoad(holder);
            holder.SetActive(false); // an agent looks for its sensors when it becomes active
            var behavior = holder.AddComponent<BehaviorParameters>();
            behavior.BehaviorName = "Stage";
            behavior.BrainParameters.VectorObservationSize = 4;
            behavior.BrainParameters.VectorActionDescriptions = new string[0]; // ML-Agents clones it, null or not
            behavior.BrainParameters.ActionSpec = ActionSpec.MakeContinuous(1);
            var agent = holder.AddComponent<StageAgent>();
            agent.m_Index = index;
            agent.m_Cameras = new StageSensor[shape.Samples > 0 ? shape.Widths.Length : 0];
            for (int k = 0; k < agent.m_Cameras.Length; k++)
                agent.m_Cameras[k] = new StageSensor("cam" + k.ToString("00000"), shape.Widths[k], shape.Heights[k]);
            holder.AddComponent<StageSensorComponent>().Sensors = agent.m_Cameras;
            holder.SetActive(true);
            return agent;
        }

        /// <summary>Observe this sample of a batch, or nothing (black) where there is none.</summary>
        public void Show(Status status, uint id, RenderBatch batch, byte[] pixels)
        {
            m_Status = (float)status;
            m_Batch = id;
            int offset = batch == null ? 0 : (int)(m_Index * batch.SampleBytes);
            for (int k = 0; k < m_Cameras.Length; k++)
            {
                if (batch == null)
                {
                    m_Cameras[k].ShowNothing();
                    continue;
                }
                m_Cameras[k].Show(pixels, offset);
                offset += batch.ImageBytes(k);
            }
            RequestDecision();
        }

        public override void CollectObservations(VectorSensor sensor)
        {
            sensor.AddObservation(m_Status);
            sensor.AddObservation(m_Batch);
            sensor.AddObservation((float)m_Index);
            sensor.AddObservation((float)Request.Major);
        }
    }
}
