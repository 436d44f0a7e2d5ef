// Signatures of com.unity.ml-agents 2.0 that the project uses: see UnityEngine.cs.
using System;
using UnityEngine;

namespace Unity.MLAgents
{
    public struct InplaceArray<T> where T : struct
    {
        public InplaceArray(T elem0, T elem1, T elem2) => throw null;
    }

    public class Academy : IDisposable
    {
        public static Academy Instance => throw null;
        public bool IsCommunicatorOn => throw null;
        public bool AutomaticSteppingEnabled { get => throw null; set => throw null; }
        public void EnvironmentStep() => throw null;
        public void Dispose() => throw null;
    }

    public class Agent : MonoBehaviour
    {
        protected virtual void OnEnable() => throw null;
        protected virtual void OnDisable() => throw null;
        public void RequestDecision() => throw null;
        public virtual void CollectObservations(Sensors.VectorSensor sensor) => throw null;
    }
}

namespace Unity.MLAgents.Actuators
{
    public struct ActionSpec
    {
        public static ActionSpec MakeContinuous(int numActions) => throw null;
    }
}

namespace Unity.MLAgents.Policies
{
    public class BrainParameters
    {
        public int VectorObservationSize;
        public string[] VectorActionDescriptions;
        public Actuators.ActionSpec ActionSpec { get => throw null; set => throw null; }
    }

    public class BehaviorParameters : MonoBehaviour
    {
        public BrainParameters BrainParameters => throw null;
        public string BehaviorName { get => throw null; set => throw null; }
    }
}

namespace Unity.MLAgents.Sensors
{
    [Flags]
    public enum DimensionProperty { Unspecified = 0, None = 1, TranslationalEquivariance = 2, VariableSize = 4 }

    public enum ObservationType { Default = 0, GoalSignal = 1 }
    public enum SensorCompressionType { None, PNG }

    public struct ObservationSpec
    {
        public ObservationSpec(InplaceArray<int> shape, InplaceArray<DimensionProperty> dimensionProperties,
            ObservationType observationType = ObservationType.Default) => throw null;
    }

    public struct CompressionSpec
    {
        public CompressionSpec(SensorCompressionType sensorCompressionType, int[] compressedChannelMapping = null) => throw null;
    }

    public class ObservationWriter { }

    public class VectorSensor
    {
        public void AddObservation(float observation) => throw null;
    }

    public interface ISensor
    {
        ObservationSpec GetObservationSpec();
        int Write(ObservationWriter writer);
        byte[] GetCompressedObservation();
        void Update();
        void Reset();
        CompressionSpec GetCompressionSpec();
        string GetName();
    }

    public abstract class SensorComponent : MonoBehaviour
    {
        public abstract ISensor[] CreateSensors();
    }
}

namespace Unity.MLAgents.SideChannels
{
    public class IncomingMessage : IDisposable
    {
        public byte[] GetRawBytes() => throw null;
        public void Dispose() => throw null;
    }

    public class OutgoingMessage : IDisposable
    {
        public void SetRawBytes(byte[] data) => throw null;
        public void Dispose() => throw null;
    }

    public abstract class SideChannel
    {
        public Guid ChannelId { get; protected set; }
        protected abstract void OnMessageReceived(IncomingMessage msg);
        protected void QueueMessageToSend(OutgoingMessage msg) => throw null;
    }

    public static class SideChannelManager
    {
        public static void RegisterSideChannel(SideChannel sideChannel) => throw null;
        public static void UnregisterSideChannel(SideChannel sideChannel) => throw null;
    }
}
