using System;

namespace Dactyl.Protocol
{
    /// <summary>
    /// Surroundings: a cube map with its blurred levels and the light of all of it, in Unity's frame.
    /// datagen/unity/environment.py is the format's documentation.
    /// </summary>
    public sealed class EnvironmentMap
    {
        const int k_Coefficients = 9, k_Channels = 3, k_Faces = 6;
        static readonly byte[] k_Magic = { (byte)'U', (byte)'V', (byte)'E', (byte)'M' };

        /// <summary>Pixels of a face of level 0.</summary>
        public int Size { get; private set; }

        /// <summary>Half floats of each level: six faces, each as it lies in memory, red, green, blue, 1.</summary>
        public ushort[][] Levels { get; private set; }

        float[] m_Harmonics; // [coefficient][channel]

        /// <summary>
        /// What a white matt surface sends out, for its normal: the sum of the nine times 1, y, z, x, xy, yz, 3zz - 1, zx,
        /// xx - yy. Unity's SphericalHarmonicsL2 has the same order and scale.
        /// </summary>
        public float Harmonic(int channel, int coefficient)
        {
            return m_Harmonics[coefficient * k_Channels + channel];
        }

        /// <summary>Where a face begins in its level.</summary>
        public int FaceStart(int level, int face)
        {
            return Levels[level].Length / k_Faces * face;
        }

        public static bool IsOne(byte[] content)
        {
            bool alike = content.Length >= k_Magic.Length;
            for (int i = 0; alike && i < k_Magic.Length; i++) alike = content[i] == k_Magic[i];
            return alike;
        }

        /// <exception cref="WireException">for anything that is no whole map</exception>
        public static EnvironmentMap Decode(byte[] content)
        {
            var reader = new ByteReader(content, k_Magic.Length);
            int size = reader.U16(), levels = reader.U16();
            if (size == 0 || (size & (size - 1)) != 0 || levels == 0 || levels > 16 || size >> (levels - 1) != 1)
                throw new WireException(Status.Scene,
                    $"surroundings of {size} pixels and {levels} levels: expected all levels of a power of two");
            var map = new EnvironmentMap { Size = size, Levels = new ushort[levels][] };
            map.m_Harmonics = reader.Floats(k_Coefficients * k_Channels);
            for (int level = 0; level < levels; level++)
            {
                int side = size >> level;
                map.Levels[level] = reader.Halves((long)k_Faces * side * side * 4);
            }
            if (reader.Remaining != 0) throw new WireException(Status.Scene, "surroundings do not have the stated size");
            return map;
        }
    }
}
