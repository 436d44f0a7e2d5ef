using System;

namespace Dactyl.Protocol
{
    /// <summary>
    /// The solids of clutter, made of three shapes that never change, each placed and stretched: so no mesh is made for a
    /// sample. In MuJoCo's axes.
    /// </summary>
    public static class Solids
    {
        public enum Unit
        {
            Cube = 0, // from -1 to 1
            Ball = 1, // of radius 1
            Tube = 2, // of radius 1 about z, from -1 to 1, open
        }

        /// <summary>A unit shape: its pose in the world (position, quaternion w x y z), and how much longer each of its axes is.</summary>
        public struct Placement
        {
            public Unit Unit;
            public float[] Pose, Scale;
        }

        const int k_Rings = 16, k_Sectors = 32;

        /// <summary>What a solid's record consists of; nothing for one of no shape.</summary>
        public static Placement[] Placements(float[] values, int at)
        {
            var pose = new float[7];
            Array.Copy(values, at + RenderBatch.Solid.Position, pose, 0, pose.Length);
            float x = values[at + RenderBatch.Solid.Extent], y = values[at + RenderBatch.Solid.Extent + 1];
            float z = values[at + RenderBatch.Solid.Extent + 2];
            switch ((SolidShape)(int)values[at + RenderBatch.Solid.Shape])
            {
                case SolidShape.Box:
                    return new[] { new Placement { Unit = Unit.Cube, Pose = pose, Scale = new[] { x, y, z } } };
                case SolidShape.Sphere:
                    return new[] { Ball(pose, 0, x) };
                case SolidShape.Capsule:
                    var tube = new Placement { Unit = Unit.Tube, Pose = pose, Scale = new[] { x, x, y } };
                    return new[] { tube, Ball(pose, y, x), Ball(pose, -y, x) };
                default:
                    return new Placement[0];
            }
        }

        /// <summary>A ball so far from a pose's origin, along its z axis.</summary>
        static Placement Ball(float[] pose, float along, float radius)
        {
            float w = pose[3], x = pose[4], y = pose[5], z = pose[6];
            var moved = (float[])pose.Clone();
            moved[0] += along * 2 * (x * z + w * y);
            moved[1] += along * 2 * (y * z - w * x);
            moved[2] += along * (1 - 2 * (x * x + y * y));
            return new Placement { Unit = Unit.Ball, Pose = moved, Scale = new[] { radius, radius, radius } };
        }

        /// <summary>Triangles of a unit shape: positions, normals, corners.</summary>
        public static ScenePack.Part Shape(Unit unit)
        {
            switch (unit)
            {
                case Unit.Cube: return Cube();
                case Unit.Ball: return Turned(k_Rings, ring => Math.PI * ring / k_Rings - Math.PI / 2, Math.Sin, Math.Cos);
                default: return Turned(1, ring => 2 * ring - 1, height => height, height => 1);
            }
        }

        static ScenePack.Part Cube()
        {
            float[] positions = new float[6 * 4 * 3], normals = new float[6 * 4 * 3];
            var corners = new int[6 * 6];
            for (int side = 0; side < 6; side++)
            {
                int axis = side / 2, sign = side % 2 == 0 ? 1 : -1;
                for (int corner = 0; corner < 4; corner++)
                {
                    int at = 3 * (4 * side + corner), u = corner % 2 == 0 ? -1 : 1, v = corner < 2 ? -1 : 1;
                    positions[at + axis] = normals[at + axis] = sign;
                    positions[at + (axis + 1) % 3] = sign * u;
                    positions[at + (axis + 2) % 3] = v;
                }
                int first = 4 * side, to = 6 * side;
                foreach (int corner in new[] { 0, 1, 2, 1, 3, 2 }) corners[to++] = first + corner;
            }
            return new ScenePack.Part { Name = "cube", Positions = positions, Normals = normals, Corners = corners };
        }

        /// <summary>A profile turned about z; normals are those of a ball or a tube, without what points along its axis there.</summary>
        static ScenePack.Part Turned(int rings, Func<int, double> profile, Func<double, double> height,
            Func<double, double> radius)
        {
            int vertices = (rings + 1) * (k_Sectors + 1);
            float[] positions = new float[3 * vertices], normals = new float[3 * vertices];
            var corners = new int[6 * rings * k_Sectors];
            int at = 0, to = 0;
            for (int ring = 0; ring <= rings; ring++)
            {
                double where = profile(ring), z = height(where), r = radius(where);
                for (int sector = 0; sector <= k_Sectors; sector++)
                {
                    double angle = 2 * Math.PI * sector / k_Sectors;
                    positions[at] = normals[at] = (float)(r * Math.Cos(angle));
                    positions[at + 1] = normals[at + 1] = (float)(r * Math.Sin(angle));
                    positions[at + 2] = (float)z;
                    normals[at + 2] = rings == 1 ? 0 : (float)z;
                    at += 3;
                    if (ring == rings || sector == k_Sectors) continue;
                    int here = ring * (k_Sectors + 1) + sector, above = here + k_Sectors + 1;
                    foreach (int corner in new[] { here, here + 1, above, here + 1, above + 1, above }) corners[to++] = corner;
                }
            }
            return new ScenePack.Part { Name = "turned", Positions = positions, Normals = normals, Corners = corners };
        }
    }
}
