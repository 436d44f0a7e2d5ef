using System.IO;
using UnityEngine;
using UnityEngine.Rendering;

namespace Dactyl.Stage
{
    /// <summary>
    /// Light from all sides: that of a sample's surroundings, or even ambient light and a white environment for glossy
    /// surfaces to reflect.
    /// </summary>
    sealed class Surroundings
    {
        const int k_Side = 16;

        // Skybox/Cubemap multiplies the map by its tint, a grey of 0.5 as it is made (0.2140411 linear), and by
        // unity_ColorSpaceDouble (4.594794 in linear colour space).
        const float k_SkyboxGain = 0.2140411f * 4.594794f;

        static readonly int k_Texture = Shader.PropertyToID("_Tex"), k_Exposure = Shader.PropertyToID("_Exposure");

        readonly Cubemap m_White = White();
        Material m_Sky;

        /// <summary>Without anything to reflect, metals would be black.</summary>
        public void ApplyEven(Color ambient, float reflection)
        {
            Apply(null, m_White, reflection);
            RenderSettings.ambientMode = AmbientMode.Flat;
            RenderSettings.ambientLight = ambient;
        }

        /// <summary>The picture is seen, too; its 1 is as bright as radiance, which is linear.</summary>
        public void Apply(SurroundingsPicture picture, float radiance, float reflection)
        {
            if (m_Sky == null) m_Sky = Sky();
            m_Sky.SetTexture(k_Texture, picture.Cubemap);
            m_Sky.SetFloat(k_Exposure, radiance / k_SkyboxGain);
            Apply(m_Sky, picture.Cubemap, reflection);
            RenderSettings.ambientMode = AmbientMode.Custom;
            RenderSettings.ambientProbe = picture.Light(radiance);
        }

        /// <summary>Lets go of a picture that will be destroyed.</summary>
        public void Forget()
        {
            RenderSettings.skybox = null;
            RenderSettings.customReflectionTexture = m_White;
            if (m_Sky != null) m_Sky.SetTexture(k_Texture, null);
        }

        static void Apply(Material sky, Cubemap reflected, float reflection)
        {
            RenderSettings.fog = false;
            RenderSettings.skybox = sky;
            RenderSettings.defaultReflectionMode = DefaultReflectionMode.Custom;
            RenderSettings.customReflectionTexture = reflected;
            RenderSettings.reflectionIntensity = reflection;
        }

        static Material Sky()
        {
            var template = Resources.Load<Material>("StageSky");
            if (template == null) throw new FileNotFoundException("Resources/StageSky: run Dactyl > Set up project");
            return new Material(template);
        }

        static Cubemap White()
        {
            var cubemap = new Cubemap(k_Side, TextureFormat.RGBA32, true);
            var pixels = new Color[k_Side * k_Side];
            for (int i = 0; i < pixels.Length; i++) pixels[i] = Color.white;
            for (var face = CubemapFace.PositiveX; face <= CubemapFace.NegativeZ; face++) cubemap.SetPixels(pixels, face);
            cubemap.Apply(); // makes the smaller levels too
            return cubemap;
        }
    }
}
