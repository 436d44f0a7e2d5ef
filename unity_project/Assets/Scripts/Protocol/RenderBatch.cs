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
            public const int Position = 0, Quaternion = 3, FovyDeg = 7, Near = 8, Far = 9, Size = 10;
        }

        public static class Body
        {
            public const int Position = 0, Quaternion = 3, Size = 7;
        }

        public static class Material
        {
            public const int Color = 0, Metallic = 3, Smoothness = 4, Texture = 5, TextureScale = 6, TextureOffset = 8,
                Size = 10;
        }

        public static class Light
        {
            public const int Kind = 0, Position = 1, Direction = 4, Color = 7, Intensity = 10, Range = 11, SpotDeg = 12,
                Shadow = 13, Size = 14;
        }

        public static class Frame
        {
            public const int Background = 0, Ambient = 3, Reflection = 6, Size = 7;
        }

        const int k_BlockBytes = 32;

        public int Samples { get; private set; }
        public int Width { get; private set; }
        public int Height { get; private set; }
        public PictureForm Form { get; private set; }

        /// <summary>Samples per pixel.</summary>
        public int Msaa { get; private set; }

        /// <summary>Pixels across a light's shadow map; 0 leaves it to the quality settings.</summary>
        public int ShadowSize { get; private set; }

        public Records Cameras { get; private set; }
        public Records Bodies { get; private set; }
        public Records Materials { get; private set; }
        public Records Lights { get; private set; }
        public Records Frames { get; private set; }

        public int ImageBytes => Width * Height * 3;

        /// <exception cref="WireException">where sizes do not add up or values are out of range</exception>
        public static RenderBatch Decode(ByteReader reader)
        {
            int blockBytes = reader.U16();
            var batch = new RenderBatch { Samples = reader.U16() };
            int cameras = reader.U16(), bodies = reader.U16(), materials = reader.U16(), lights = reader.U16();
            int camera = Stride(reader, Camera.Size), body = Stride(reader, Body.Size);
            int material = Stride(reader, Material.Size), light = Stride(reader, Light.Size);
            int frame = Stride(reader, Frame.Size);
            batch.Width = reader.U16();
            batch.Height = reader.U16();
            batch.Form = (PictureForm)reader.U16();
            batch.Msaa = reader.U16();
            batch.ShadowSize = reader.U16();
            if (batch.Form != PictureForm.Observations && batch.Form != PictureForm.Rgb)
                throw new WireException(Status.Malformed, $"unknown form {(int)batch.Form} of pictures");
            reader.Skip(blockBytes - k_BlockBytes);
            long floats = (long)cameras * camera + (long)bodies * body + (long)materials * material + (long)lights * light
                + frame;
            if (batch.Samples * floats * sizeof(float) != reader.Remaining)
                throw new WireException(Status.Malformed, "the records do not have the stated size");
            batch.Cameras = new Records(reader, batch.Samples, cameras, camera);
            batch.Bodies = new Records(reader, batch.Samples, bodies, body);
            batch.Materials = new Records(reader, batch.Samples, materials, material);
            batch.Lights = new Records(reader, batch.Samples, lights, light);
            batch.Frames = new Records(reader, batch.Samples, 1, frame);
            return batch;
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
