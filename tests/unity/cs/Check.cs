using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using Dactyl.Protocol;

/// <summary>
/// Runs the engine-free half of the player on files that the Python tests wrote, and writes what came of it:
/// "serve DIR" answers *.request in order of name, "packs DIR" reads *.pack and writes them again, "poses FILE" converts
/// coordinates, "lenses FILE WIDTH HEIGHT" makes projections, "mosaic WIDTHxHEIGHT..." lays pictures out, "solids FILE"
/// makes triangles of clutter, "pictures DIR" makes PNG files and cuts tiles.
/// </summary>
static class Check
{
    static int Main(string[] arguments)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        switch (arguments[0])
        {
            case "serve": return Serve(arguments[1]);
            case "packs": return Packs(arguments[1]);
            case "poses": return Poses(arguments[1]);
            case "lenses": return Lenses(arguments[1], int.Parse(arguments[2]), int.Parse(arguments[3]));
            case "mosaic": return LayOut(arguments.Skip(1).ToArray());
            case "solids": return MakeSolids(arguments[1]);
            case "pictures": return MakePictures(arguments[1]);
            default: return 2;
        }
    }

    static int Serve(string folder)
    {
        var stage = new RecordingStage(folder);
        var server = new StageServer(stage, ObservationShape.Parse("2:5x4,3x6,2x2"));
        foreach (string path in Directory.GetFiles(folder, "*.request").OrderBy(name => name, StringComparer.Ordinal))
        {
            stage.Current = Path.ChangeExtension(path, null);
            var answer = server.Answer(File.ReadAllBytes(path));
            File.WriteAllBytes(stage.Current + ".reply", answer.Message);
            if (answer.Observed != null) File.WriteAllBytes(stage.Current + ".observed", answer.Pixels);
        }
        return 0;
    }

    static int Packs(string folder)
    {
        foreach (string path in Directory.GetFiles(folder, "*.pack"))
        {
            var bytes = File.ReadAllBytes(path);
            try
            {
                var pack = ScenePack.Decode(bytes);
                File.WriteAllBytes(path + ".again", PackWriter.Encode(pack));
                File.WriteAllText(path + ".hash", ScenePack.Hash(bytes).ToString());
            }
            catch (WireException error)
            {
                File.WriteAllText(path + ".error", error.Status + ": " + error.Message);
            }
        }
        return 0;
    }

    /// <summary>Float32 records of a pose (position, quaternion) to lines: position, rotation, camera, direction.</summary>
    static int Poses(string path)
    {
        var values = Floats(path);
        for (int at = 0; at < values.Length; at += 7)
        {
            MjFrame.Position(values, at, out float px, out float py, out float pz);
            MjFrame.Rotation(values, at + 3, out float rx, out float ry, out float rz, out float rw);
            MjFrame.CameraRotation(values, at + 3, out float cx, out float cy, out float cz, out float cw);
            MjFrame.DirectionRotation(values, at, out float dx, out float dy, out float dz, out float dw);
            var row = new[] { px, py, pz, rx, ry, rz, rw, cx, cy, cz, cw, dx, dy, dz, dw };
            Console.WriteLine(string.Join(" ", row.Select(value => value.ToString("R"))));
        }
        Console.WriteLine(string.Join(" ", MjFrame.Winding(new[] { 0, 1, 2, 3, 4, 5 })));
        return 0;
    }

    /// <summary>Records of cameras to lines: a projection, row by row.</summary>
    static int Lenses(string path, int width, int height)
    {
        var values = Floats(path);
        for (int at = 0; at < values.Length; at += RenderBatch.Camera.Size)
            Print(Lens.Projection(values, at, width, height));
        return 0;
    }

    /// <summary>Lines: the size of the texture; then, of two textures full, the camera, left, bottom.</summary>
    static int LayOut(string[] sizes)
    {
        var parts = Array.ConvertAll(sizes, size => Array.ConvertAll(size.Split('x'), int.Parse));
        int[] widths = Array.ConvertAll(parts, part => part[0]), heights = Array.ConvertAll(parts, part => part[1]);
        var mosaic = new Mosaic(widths, heights);
        bool fits = mosaic.Fits(widths, heights) && !mosaic.Fits(widths, heights.Select(height => height + 1).ToArray());
        Console.WriteLine($"{mosaic.Width} {mosaic.Height} {fits}");
        for (int picture = 0, textures = 0; textures < 2; picture++)
        {
            int camera = picture % sizes.Length;
            if (!mosaic.Place(camera, out int left, out int bottom))
            {
                mosaic.Clear();
                if (++textures == 2) break;
                mosaic.Place(camera, out left, out bottom);
            }
            Print(new float[] { textures, camera, left, bottom });
        }
        return 0;
    }

    static void Print(float[] values)
    {
        Console.WriteLine(string.Join(" ", values.Select(value => value.ToString("R"))));
    }

    /// <summary>Records of solids to lines: number, unit, then position, quaternion, scale of a placement. Then lines of
    /// each unit shape: positions, normals, corners.</summary>
    static int MakeSolids(string path)
    {
        var values = Floats(path);
        for (int at = 0; at < values.Length; at += RenderBatch.Solid.Size)
            foreach (var placement in Solids.Placements(values, at))
                Print(new[] { at / RenderBatch.Solid.Size, (float)placement.Unit }.Concat(placement.Pose)
                    .Concat(placement.Scale).ToArray());
        foreach (Solids.Unit unit in Enum.GetValues(typeof(Solids.Unit)))
        {
            var shape = Solids.Shape(unit);
            Console.WriteLine("shape");
            Print(shape.Positions);
            Print(shape.Normals);
            Console.WriteLine(string.Join(" ", MjFrame.Winding(shape.Corners)));
        }
        return 0;
    }

    static float[] Floats(string path)
    {
        var bytes = File.ReadAllBytes(path);
        var values = new float[bytes.Length / sizeof(float)];
        Buffer.BlockCopy(bytes, 0, values, 0, bytes.Length);
        return values;
    }

    /// <summary>WIDTHxHEIGHT.rgb to a PNG file; whole.rgb, a texture 4 pixels wide and bottom-up, to its 2 x 2 tile at (1, 1).</summary>
    static int MakePictures(string folder)
    {
        foreach (string path in Directory.GetFiles(folder, "*x*.rgb"))
        {
            var size = Path.GetFileNameWithoutExtension(path).Split('x').Select(int.Parse).ToArray();
            File.WriteAllBytes(path + ".png", Pictures.StoredPng(File.ReadAllBytes(path), 0, size[0], size[1]));
        }
        var tile = new byte[3 + 12];
        Pictures.CopyTile(File.ReadAllBytes(Path.Combine(folder, "whole.rgb")), 4, 1, 1, 2, 2, tile, 3);
        File.WriteAllBytes(Path.Combine(folder, "tile.out"), tile);
        return 0;
    }
}

/// <summary>A stage that writes down what it is told and draws a pattern that Python can foresee.</summary>
sealed class RecordingStage : IStage
{
    readonly string m_Folder;
    public string Current;

    public RecordingStage(string folder)
    {
        m_Folder = folder;
    }

    public string Describe()
    {
        return "engine: mono\ndevice: größer als ASCII";
    }

    public void Load(ScenePack pack)
    {
        if (pack.Bodies.Any(body => body.Name == "unloadable")) throw new InvalidOperationException("this scene cannot be shown");
        File.WriteAllText(Path.Combine(m_Folder, "loaded"), string.Join(" ", pack.Bodies.Select(body => body.Name)));
    }

    public void AddPicture(ulong hash, byte[] png)
    {
        if (png.Length == 1) throw new WireException(Status.Scene, "no PNG file");
        File.AppendAllText(Path.Combine(m_Folder, "given"), $"{hash:x16} {png.Length}\n");
    }

    public void AddSurroundings(ulong hash, EnvironmentMap map)
    {
        using (var file = File.Create(Path.Combine(m_Folder, $"{hash:x16}.surroundings")))
        {
            for (int coefficient = 0; coefficient < 9; coefficient++)
                for (int channel = 0; channel < 3; channel++)
                    file.Write(BitConverter.GetBytes(map.Harmonic(channel, coefficient)), 0, sizeof(float));
            for (int level = 0; level < map.Levels.Length; level++)
                for (int face = 0; face < 6; face++)
                    for (int k = 0, side = map.Size >> level; k < 4 * side * side; k++)
                        file.Write(BitConverter.GetBytes(map.Levels[level][map.FaceStart(level, face) + k]), 0, sizeof(ushort));
        }
    }

    public void Forget()
    {
        File.AppendAllText(Path.Combine(m_Folder, "given"), "forgotten\n");
    }

    public void Render(RenderBatch batch, byte[] pixels, int offset)
    {
        using (var file = File.Create(Current + ".records"))
            foreach (var records in new[] { batch.Cameras, batch.Bodies, batch.Materials, batch.Lights, batch.Solids, batch.Frames })
                foreach (float value in records.Values) file.Write(BitConverter.GetBytes(value), 0, sizeof(float));
        // Named values through the accessors: what the engine's half of the player will read.
        int last = batch.Samples - 1;
        var named = new[]
        {
            batch.Cameras.Values[batch.Cameras.At(last, batch.Cameras.Count - 1) + RenderBatch.Camera.Far],
            batch.Bodies.Values[batch.Bodies.At(last, batch.Bodies.Count - 1) + RenderBatch.Body.Quaternion],
            batch.Materials.Values[batch.Materials.At(last, batch.Materials.Count - 1) + RenderBatch.Material.Smoothness],
            batch.Materials.Values[batch.Materials.At(last, 0) + RenderBatch.Material.TextureOffset + 1],
            batch.Lights.Values[batch.Lights.At(last, batch.Lights.Count - 1) + RenderBatch.Light.Shadow],
            batch.Lights.Values[batch.Lights.At(last, 0) + RenderBatch.Light.Kind],
            batch.Cameras.Values[batch.Cameras.At(last, 0) + RenderBatch.Camera.Centre + 1],
            batch.Solids.Values[batch.Solids.At(last, 1) + RenderBatch.Solid.Extent + 2],
            batch.Solids.Values[batch.Solids.At(last, 1) + RenderBatch.Solid.Smoothness],
            batch.Frames.Values[batch.Frames.At(last, 0) + RenderBatch.Frame.Reflection],
            batch.Frames.Values[batch.Frames.At(last, 0) + RenderBatch.Frame.Radiance],
            batch.Materials.Values[batch.Materials.At(last, 1) + RenderBatch.Material.Visible],
            batch.Msaa, batch.ShadowSize,
        };
        File.WriteAllText(Current + ".named", string.Join(" ", named.Select(value => value.ToString("R"))));
        for (int i = offset; i < pixels.Length; i++) pixels[i] = (byte)((i - offset) % 251);
    }
}

/// <summary>Writes a pack as Python does, so that equal bytes mean that nothing was misread.</summary>
static class PackWriter
{
    public static byte[] Encode(ScenePack pack)
    {
        var payload = new MemoryStream();
        var writer = new BinaryWriter(payload);
        writer.Write((ushort)pack.Bodies.Length);
        foreach (var body in pack.Bodies)
        {
            Text(writer, body.Name);
            foreach (float value in body.Pose) writer.Write(value);
        }
        writer.Write((ushort)pack.Textures.Length);
        foreach (var texture in pack.Textures)
        {
            Text(writer, texture.Name);
            writer.Write((uint)texture.Png.Length);
            writer.Write(texture.Png);
        }
        writer.Write((ushort)pack.Materials.Length);
        foreach (var material in pack.Materials)
        {
            Text(writer, material.Name);
            foreach (float value in material.Color) writer.Write(value);
            writer.Write((short)material.Texture);
            writer.Write(material.ScaleU);
            writer.Write(material.ScaleV);
        }
        writer.Write((ushort)pack.Parts.Length);
        foreach (var part in pack.Parts)
        {
            Text(writer, part.Name);
            writer.Write((ushort)part.Body);
            writer.Write((ushort)part.Material);
            writer.Write((ushort)(part.CastsShadow ? 1 : 0));
            writer.Write((uint)(part.Positions.Length / 3));
            writer.Write((uint)(part.Corners.Length / 3));
            foreach (var values in new[] { part.Positions, part.Normals, part.Uv })
                foreach (float value in values) writer.Write(value);
            foreach (int corner in part.Corners) writer.Write(corner);
        }
        var bytes = payload.ToArray();
        var file = new MemoryStream();
        writer = new BinaryWriter(file);
        writer.Write(Encoding.ASCII.GetBytes("UVSP"));
        writer.Write((ushort)ScenePack.Major);
        writer.Write((ushort)0);
        writer.Write((uint)bytes.Length);
        writer.Write(Crc32.Of(bytes, 0, bytes.Length));
        writer.Write(bytes);
        return file.ToArray();
    }

    static void Text(BinaryWriter writer, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ushort)bytes.Length);
        writer.Write(bytes);
    }
}
