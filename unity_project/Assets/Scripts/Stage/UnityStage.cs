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

        public void AddPicture(ulong hash, byte[] png)
        {
            m_Scene.AddPicture(hash, png);
        }

        public void AddSurroundings(ulong hash, EnvironmentMap map)
        {
            m_Scene.AddSurroundings(hash, map);
        }

        public void Forget()
        {
            m_Scene.Forget();
        }

        public void Render(RenderBatch batch, byte[] pixels, int offset)
        {
            if (m_Atlas == null || !m_Atlas.Fits(batch))
            {
                m_Atlas?.Dispose();
                m_Atlas = new Atlas(batch);
            }
            for (int sample = 0; sample < batch.Samples; sample++)
            {
                m_Scene.Apply(batch, sample);
                for (int k = 0; k < batch.Cameras.Count; k++)
                {
                    m_Atlas.Draw(batch, sample, k, pixels, offset);
                    offset += batch.ImageBytes(k);
                }
            }
            m_Atlas.Read(pixels);
        }
    }
}
