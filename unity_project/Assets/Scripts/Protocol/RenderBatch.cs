namespace Dactyl.Protocol
{
    /// <summary>How pictures go back; the numbers travel.</summary>
    public enum PictureForm
    {
        Observations = 0, // visual observations of the agents, PNG
        Rgb = 1, // raw, in the reply
    }

    /// <summary>The numbers travel.</summary>
    public enum LightKind
    {
        Off = 0,
        Directional = 1,
        Point = 2,
        Spot = 3,
    }

    /// <summary>The numbers travel.</summary>
    public enum SolidShape
    {
        None = 0,
        Box = 1,
        Capsule = 2,
        Sphere = 3,
    }

    /// <summary>Records of float32, [sample][index]. A newer sender may have made them longer: see the stride.</summary>
    public sealed class Records
    {
        public float[] Values { get; }
        public int Count { get; }
        readonly int m_Stride;

        public Records(ByteReader reader, int samples, int count, int stride)
        {
            Values = reader.Floats((long)samples * count * stride);
            Count = count;
            m_Stride = stride;
        }

        /// <summary>Where in Values a record begins.</summary>
        public int At(int sample, int index)
        {
            return (sample * Count + index) * m_Stride;
        }
    }

    /// <summary>Samples to draw, still in MuJoCo's frames: MjFrame converts.</summary>
    public sealed class RenderBatch
    {
        /// <summary>Offsets in a record, in floats.</summary>
        public static class Camera
        {
            public const int Position = 0, Quaternion = 3, Focal = 7, Centre = 9, Near = 11, Far = 12, Size = 13;
        }

        public static class Body
        {
            public const int Position = 0, Quaternion = 3, Size = 7;
        }

        public static class Material
        {
            public const int Color = 0, Metallic = 3, Smoothness = 4, Texture = 5, TextureScale = 6, TextureOffset = 8,
                Visible = 10, Size = 11;
        }

        public static class Light
        {
            public const int Kind = 0, Position = 1, Direction = 4, Color = 7, Intensity = 10, Range = 11, SpotDeg = 12,
                Shadow = 13, Size = 14;
        }

        public static class Solid
        {
            public const int Shape = 0, Position = 1, Quaternion = 4, Extent = 8, Color = 11, Metallic = 14, Smoothness = 15,
                Size = 16;
        }

        public static class Frame
        {
            public const int Background = 0, Ambient = 3, Reflection = 6, Surroundings = 7, Radiance = 8, Size = 9;
        }

        const int k_BlockBytes = 36;
        const int k_MaxSide = 8192; // pixels: what graphics devices can draw

        public int Samples { get; private set; }

        /// <summary>Of each camera's pictures, pixels.</summary>
        public int[] Widths { get; private set; }

        public int[] Heights { get; private set; }

        /// <summary>Hashes of those that materials show besides the scene pack's.</summary>
        public ulong[] Pictures { get; private set; }

        public PictureForm Form { get; private set; }

        /// <summary>Samples per pixel.</summary>
        public int Msaa { get; private set; }

        /// <summary>Pixels across a light's shadow map; 0 leaves it to the quality settings.</summary>
        public int ShadowSize { get; private set; }

        public Records Cameras { get; private set; }
        public Records Bodies { get; private set; }
        public Records Materials { get; private set; }
        public Records Lights { get; private set; }
        public Records Solids { get; private set; }
        public Records Frames { get; private set; }

        /// <summary>Of the largest pictures.</summary>
        public int Width => Largest(Widths);

        public int Height => Largest(Heights);

        /// <summary>Of one camera's picture.</summary>
        public int ImageBytes(int camera)
        {
            return Widths[camera] * Heights[camera] * 3;
        }

        /// <summary>Of all cameras' pictures of one sample.</summary>
        public long SampleBytes
        {
            get
            {
                long bytes = 0;
                for (int k = 0; k < Widths.Length; k++) bytes += ImageBytes(k);
                return bytes;
            }
        }

        /// <exception cref="WireException">where sizes do not add up or values are out of range</exception>
        public static RenderBatch Decode(ByteReader reader)
        {
            int blockBytes = reader.U16();
            var batch = new RenderBatch { Samples = reader.U16() };
            int cameras = reader.U16(), bodies = reader.U16(), materials = reader.U16(), lights = reader.U16();
            int solids = reader.U16(), pictures = reader.U16();
            int camera = Stride(reader, Camera.Size), body = Stride(reader, Body.Size);
            int material = Stride(reader, Material.Size), light = Stride(reader, Light.Size);
            int solid = Stride(reader, Solid.Size), frame = Stride(reader, Frame.Size);
            batch.Form = (PictureForm)reader.U16();
            batch.Msaa = reader.U16();
            batch.ShadowSize = reader.U16();
            if (batch.Form != PictureForm.Observations && batch.Form != PictureForm.Rgb)
                throw new WireException(Status.Malformed, $"unknown form {(int)batch.Form} of pictures");
            reader.Skip(blockBytes - k_BlockBytes + sizeof(ushort)); // one number is reserved
            batch.Widths = new int[cameras];
            batch.Heights = new int[cameras];
            for (int k = 0; k < cameras; k++)
            {
                batch.Widths[k] = reader.U16();
                batch.Heights[k] = reader.U16();
            }
            batch.Pictures = new ulong[pictures];
            for (int k = 0; k < pictures; k++) batch.Pictures[k] = reader.U64();
            long floats = (long)cameras * camera + (long)bodies * body + (long)materials * material + (long)lights * light
                + (long)solids * solid + frame;
            if (batch.Samples * floats * sizeof(float) != reader.Remaining)
                throw new WireException(Status.Malformed, "the records do not have the stated size");
            batch.Cameras = new Records(reader, batch.Samples, cameras, camera);
            batch.Bodies = new Records(reader, batch.Samples, bodies, body);
            batch.Materials = new Records(reader, batch.Samples, materials, material);
            batch.Lights = new Records(reader, batch.Samples, lights, light);
            batch.Solids = new Records(reader, batch.Samples, solids, solid);
            batch.Frames = new Records(reader, batch.Samples, 1, frame);
            return batch;
        }

        /// <summary>What would draw nonsense, or throw in the engine.</summary>
        /// <exception cref="WireException">that says what is wrong</exception>
        public void Check(ScenePack pack)
        {
            Require(Samples > 0 && Cameras.Count > 0, "an empty batch");
            for (int k = 0; k < Widths.Length; k++)
                Require(Widths[k] > 0 && Widths[k] <= k_MaxSide && Heights[k] > 0 && Heights[k] <= k_MaxSide,
                    $"pictures of {Widths[k]} x {Heights[k]}; 1 to {k_MaxSide} pixels a side are possible");
            Require(Bodies.Count == pack.Bodies.Length, $"{Bodies.Count} bodies, the scene has {pack.Bodies.Length}");
            Require(Materials.Count == pack.Materials.Length,
                $"{Materials.Count} materials, the scene has {pack.Materials.Length}");
            Require(Msaa == 1 || Msaa == 2 || Msaa == 4 || Msaa == 8,
                $"{Msaa} samples per pixel; 1, 2, 4 and 8 are possible");
            foreach (var records in new[] { Cameras, Bodies, Materials, Lights, Solids, Frames })
                foreach (float value in records.Values)
                    Require(!float.IsNaN(value) && !float.IsInfinity(value), "a value that is not finite");
            int textures = pack.Textures.Length + Pictures.Length;
            for (int sample = 0; sample < Samples; sample++)
            {
                for (int k = 0; k < Cameras.Count; k++) CheckCamera(Cameras.At(sample, k), k);
                for (int k = 0; k < Materials.Count; k++)
                {
                    float texture = Materials.Values[Materials.At(sample, k) + Material.Texture];
                    Require(texture >= -1 && texture < textures, $"texture {texture} of {textures}");
                }
                float around = Frames.Values[Frames.At(sample, 0) + Frame.Surroundings];
                Require(around >= -1 && around < Pictures.Length, $"surroundings {around} of {Pictures.Length} pictures");
                for (int k = 0; k < Solids.Count; k++)
                {
                    float shape = Solids.Values[Solids.At(sample, k) + Solid.Shape];
                    Require(shape >= 0 && shape <= (int)SolidShape.Sphere, $"shape {shape} of a solid");
                }
            }
        }

        /// <summary>Which of the pictures is of another kind than what shows it: surroundings on a material, or a PNG file
        /// around the scene; -1 for none.</summary>
        public int Misused(ScenePack pack, bool[] areSurroundings)
        {
            for (int sample = 0; sample < Samples; sample++)
            {
                int around = (int)Frames.Values[Frames.At(sample, 0) + Frame.Surroundings];
                if (around >= 0 && !areSurroundings[around]) return around;
                for (int k = 0; k < Materials.Count; k++)
                {
                    int texture = (int)Materials.Values[Materials.At(sample, k) + Material.Texture] - pack.Textures.Length;
                    if (texture >= 0 && areSurroundings[texture]) return texture;
                }
            }
            return -1;
        }

        void CheckCamera(int at, int camera)
        {
            var values = Cameras.Values;
            float near = values[at + Camera.Near], far = values[at + Camera.Far];
            bool lens = values[at + Camera.Focal] > 0 && values[at + Camera.Focal + 1] > 0 && near > 0 && far > near;
            Require(lens, $"camera {camera} has a lens that is none: focal lengths and clip distances must be positive");
        }

        static int Largest(int[] values)
        {
            int largest = 0;
            foreach (int value in values) largest = System.Math.Max(largest, value);
            return largest;
        }

        static void Require(bool condition, string otherwise)
        {
            if (!condition) throw new WireException(Status.Mismatch, otherwise);
        }

        /// <summary>A record's stated size, in floats.</summary>
        static int Stride(ByteReader reader, int known)
        {
            int bytes = reader.U16();
            if (bytes % sizeof(float) != 0 || bytes < known * sizeof(float))
                throw new WireException(Status.Malformed, $"records of {bytes} bytes are too small");
            return bytes / sizeof(float);
        }
    }
}
