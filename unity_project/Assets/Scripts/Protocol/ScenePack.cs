using System;
using System.Security.Cryptography;

namespace Dactyl.Protocol
{
    /// <summary>
    /// The geometry of a scene, in MuJoCo's axes. datagen/unity/scene_pack.py is the format's documentation.
    /// </summary>
    public sealed class ScenePack
    {
        public const int Major = 2;
        const int k_HeaderBytes = 16;
        static readonly byte[] k_Magic = { (byte)'U', (byte)'V', (byte)'S', (byte)'P' };

        public struct Body
        {
            public string Name;
            public float[] Pose; // position, quaternion w x y z, in the model's initial state
        }

        public struct Texture
        {
            public string Name;
            public byte[] Png;
        }

        public struct Material
        {
            public string Name;
            public float[] Color; // sRGB, that of the model
            public int Texture; // -1 for none
            public float ScaleU, ScaleV;
        }

        /// <summary>Triangles of one body in one material; three floats a vertex, two for texture coordinates.</summary>
        public struct Part
        {
            public string Name;
            public int Body, Material;
            public bool CastsShadow;
            public float[] Positions, Normals, Uv;
            public int[] Corners;
        }

        public Body[] Bodies { get; private set; }
        public Texture[] Textures { get; private set; }
        public Material[] Materials { get; private set; }
        public Part[] Parts { get; private set; }

        /// <summary>What requests call a scene pack or a picture: the first 64 bits of its SHA-256.</summary>
        public static ulong Hash(byte[] content)
        {
            using (var sha = SHA256.Create()) return BitConverter.ToUInt64(sha.ComputeHash(content), 0);
        }

        /// <exception cref="WireException">for anything that is not a whole, undamaged, consistent pack</exception>
        public static ScenePack Decode(byte[] data)
        {
            var reader = new ByteReader(data);
            if (!reader.Matches(k_Magic)) throw new WireException(Status.Scene, "this is no scene pack");
            int major = reader.U16();
            reader.U16();
            if (major != Major)
                throw new WireException(Status.Version, $"scene pack of version {major}, this player reads {Major}");
            uint bytes = reader.U32(), crc = reader.U32();
            if (bytes != reader.Remaining || Crc32.Of(data, k_HeaderBytes, reader.Remaining) != crc)
                throw new WireException(Status.Scene, "the scene pack is damaged");
            return new ScenePack
            {
                Bodies = Each(reader, r => new Body { Name = r.Text(), Pose = r.Floats(7) }),
                Textures = Each(reader, r => new Texture { Name = r.Text(), Png = r.Bytes(r.U32()) }),
                Materials = Each(reader, r => new Material
                {
                    Name = r.Text(), Color = r.Floats(3), Texture = r.I16(), ScaleU = r.F32(), ScaleV = r.F32(),
                }),
                Parts = Each(reader, ReadPart),
            }.Checked();
        }

        static T[] Each<T>(ByteReader reader, Func<ByteReader, T> read)
        {
            var items = new T[reader.U16()];
            for (int i = 0; i < items.Length; i++) items[i] = read(reader);
            return items;
        }

        static Part ReadPart(ByteReader reader)
        {
            var part = new Part { Name = reader.Text(), Body = reader.U16(), Material = reader.U16() };
            part.CastsShadow = reader.U16() != 0;
            long vertices = reader.U32(), triangles = reader.U32();
            part.Positions = reader.Floats(3 * vertices);
            part.Normals = reader.Floats(3 * vertices);
            part.Uv = reader.Floats(2 * vertices);
            part.Corners = reader.Ints(3 * triangles);
            return part;
        }

        ScenePack Checked()
        {
            foreach (var material in Materials)
                if (material.Texture < -1 || material.Texture >= Textures.Length)
                    throw new WireException(Status.Scene, $"material {material.Name}: its texture is not in the pack");
            foreach (var part in Parts)
            {
                bool known = part.Body < Bodies.Length && part.Material < Materials.Length;
                foreach (int corner in part.Corners) known &= corner >= 0 && corner < part.Positions.Length / 3;
                if (!known) throw new WireException(Status.Scene, $"part {part.Name} refers to what is not there");
            }
            return this;
        }
    }
}
