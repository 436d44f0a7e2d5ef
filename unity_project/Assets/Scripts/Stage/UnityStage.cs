using System;
using System.IO;
using Dactyl.Protocol;
using UnityEngine;

namespace Dactyl.Stage
{
    /// <summary>
    /// Draws batches with Unity's built-in render pipeline. Samples are drawn one after another on one stage, so that no
    /// sample's light falls into another's picture.
    /// </summary>
    public sealed class UnityStage : IStage
    {
        readonly StageScene m_Scene;
        Atlas m_Atlas;

        public UnityStage()
        {
            // Kept in Resources with the shader: one that is only looked up by name is stripped from builds.
            var template = Resources.Load<Material>("StageOpaque");
            if (template == null) throw new FileNotFoundException("Resources/StageOpaque: run Dactyl > Set up project");
            m_Scene = new StageScene(template);
        }

        public string Describe()
        {
            return string.Join("\n",
                "engine: Unity " + Application.unityVersion,
                "device: " + SystemInfo.graphicsDeviceName,
                "api: " + SystemInfo.graphicsDeviceVersion,
                "color space: " + QualitySettings.activeColorSpace,
                "protocol: " + Request.Major + "." + Request.Minor);
        }

        public void Load(ScenePack pack)
        {
            m_Scene.Load(pack);
        }

        public void Render(RenderBatch batch, byte[] pixels, int offset)
        {
            int cameras = batch.Cameras.Count;
            if (m_Atlas == null || !m_Atlas.Fits(batch))
            {
                m_Atlas?.Dispose();
                m_Atlas = new Atlas(batch.Width, batch.Height, cameras, batch.Msaa);
            }
            for (int first = 0; first < batch.Samples; first += m_Atlas.Rows)
            {
                int samples = Math.Min(m_Atlas.Rows, batch.Samples - first);
                for (int row = 0; row < samples; row++)
                {
                    m_Scene.Apply(batch, first + row);
                    for (int k = 0; k < cameras; k++) m_Atlas.Draw(batch, first + row, k, row);
                }
                m_Atlas.Read();
                for (int row = 0; row < samples; row++)
                    for (int k = 0; k < cameras; k++)
                        m_Atlas.Copy(row, k, pixels, offset + ((first + row) * cameras + k) * batch.ImageBytes);
            }
        }
    }
}
