using System;
using Dactyl.Protocol;
using Unity.MLAgents;
using Unity.MLAgents.Sensors;

namespace Dactyl.Stage
{
    /// <summary>
    /// Hands out a picture that is already drawn. ML-Agents' own camera sensors would render, and would render every agent
    /// with the lights and poses of the last sample.
    /// </summary>
    public sealed class StageSensor : ISensor
    {
        readonly string m_Name;
        readonly int m_Width, m_Height;
        readonly byte[] m_Nothing;
        byte[] m_Png;

        public StageSensor(string name, int width, int height)
        {
            m_Name = name;
            m_Width = width;
            m_Height = height;
            m_Nothing = Pictures.StoredPng(new byte[width * height * 3], 0, width, height);
            m_Png = m_Nothing;
        }

        public void Show(byte[] rgb, int offset)
        {
            m_Png = Pictures.StoredPng(rgb, offset, m_Width, m_Height);
        }

        public void ShowNothing()
        {
            m_Png = m_Nothing;
        }

        public ObservationSpec GetObservationSpec()
        {
            // Spelled out: ObservationSpec.Visual means height, width, channels in ML-Agents 2, the reverse from 3 on.
            return new ObservationSpec(
                new InplaceArray<int>(m_Height, m_Width, 3),
                new InplaceArray<DimensionProperty>(DimensionProperty.TranslationalEquivariance,
                    DimensionProperty.TranslationalEquivariance, DimensionProperty.None));
        }

        public CompressionSpec GetCompressionSpec()
        {
            return new CompressionSpec(SensorCompressionType.PNG);
        }

        public byte[] GetCompressedObservation()
        {
            return m_Png;
        }

        public int Write(ObservationWriter writer)
        {
            throw new NotSupportedException("pictures are sent as PNG only");
        }

        public string GetName()
        {
            return m_Name;
        }

        public void Update()
        {
        }

        public void Reset()
        {
        }
    }

    /// <summary>How an agent finds its sensors.</summary>
    public sealed class StageSensorComponent : SensorComponent
    {
        public StageSensor[] Sensors;

        public override ISensor[] CreateSensors()
        {
            return Array.ConvertAll(Sensors, sensor => (ISensor)sensor);
        }
    }
}
