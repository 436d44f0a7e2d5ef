using System;
using Dactyl.Protocol;
using UnityEngine;
using UnityEngine.Rendering;

namespace Dactyl.Stage
{
    /// <summary>Surroundings as Unity has them: what is seen and reflected, and the light of all of it.</summary>
    public sealed class SurroundingsPicture : IDisposable
    {
        readonly EnvironmentMap m_Map;

        public Cubemap Cubemap { get; }

        public SurroundingsPicture(EnvironmentMap map)
        {
            m_Map = map;
            // Half floats: its values are linear and may be brighter than white.
            Cubemap = new Cubemap(map.Size, TextureFormat.RGBAHalf, true) { filterMode = FilterMode.Trilinear };
            for (int level = 0; level < map.Levels.Length; level++)
                for (var face = CubemapFace.PositiveX; face <= CubemapFace.NegativeZ; face++)
                    Cubemap.SetPixelData(map.Levels[level], level, face, map.FaceStart(level, (int)face));
            Cubemap.Apply(false, true); // the smaller levels are those that came
        }

        /// <summary>Light on matt surfaces, if the map's 1 is as bright as this.</summary>
        public SphericalHarmonicsL2 Light(float radiance)
        {
            var light = new SphericalHarmonicsL2();
            for (int channel = 0; channel < 3; channel++)
                for (int coefficient = 0; coefficient < 9; coefficient++)
                    light[channel, coefficient] = radiance * m_Map.Harmonic(channel, coefficient);
            return light;
        }

        public void Dispose()
        {
            UnityEngine.Object.DestroyImmediate(Cubemap);
        }
    }
}
