using UnityEngine;
using UnityEngine.Rendering;

namespace Dactyl.Stage
{
    /// <summary>Light from all sides: even ambient light, and a white environment for glossy surfaces to reflect.</summary>
    static class Surroundings
    {
        const int k_Side = 16;
        static Cubemap s_White;

        /// <summary>Without anything to reflect, metals would be black.</summary>
        public static void Apply(Color ambient, float reflection)
        {
            if (s_White == null) s_White = White();
            RenderSettings.skybox = null;
            RenderSettings.fog = false;
            RenderSettings.ambientMode = AmbientMode.Flat;
            RenderSettings.ambientLight = ambient;
            RenderSettings.defaultReflectionMode = DefaultReflectionMode.Custom;
            RenderSettings.customReflectionTexture = s_White;
            RenderSettings.reflectionIntensity = reflection;
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
