using System.Collections.Generic;
using Dactyl.Protocol;
using UnityEngine;
using UnityEngine.Rendering;

namespace Dactyl.Stage
{
    /// <summary>What lies about in a sample. Its objects are kept for the next sample, which uses as many as it needs.</summary>
    sealed class Clutter
    {
        static readonly int k_Color = Shader.PropertyToID("_Color"), k_Metallic = Shader.PropertyToID("_Metallic"),
            k_Smoothness = Shader.PropertyToID("_Glossiness");

        readonly Material m_Template;
        readonly List<Thing> m_Things = new List<Thing>();
        Mesh[] m_Shapes;

        struct Thing
        {
            public GameObject Object;
            public MeshFilter Filter;
            public Material Material;
        }

        public Clutter(Material template)
        {
            m_Template = template;
        }

        public void Apply(RenderBatch batch, int sample)
        {
            int used = 0;
            var values = batch.Solids.Values;
            for (int k = 0; k < batch.Solids.Count; k++)
            {
                int at = batch.Solids.At(sample, k);
                foreach (var placement in Solids.Placements(values, at))
                {
                    if (used == m_Things.Count) m_Things.Add(Make());
                    Place(m_Things[used++], placement, values, at);
                }
            }
            for (int k = 0; k < m_Things.Count; k++) m_Things[k].Object.SetActive(k < used);
        }

        void Place(Thing thing, Solids.Placement placement, float[] values, int at)
        {
            thing.Filter.sharedMesh = Shapes()[(int)placement.Unit];
            thing.Object.transform.SetPositionAndRotation(
                Converted.Position(placement.Pose, RenderBatch.Body.Position),
                Converted.Rotation(placement.Pose, RenderBatch.Body.Quaternion));
            thing.Object.transform.localScale = Converted.Position(placement.Scale, 0); // axes change places as positions' do
            thing.Material.SetColor(k_Color, Converted.Color(values, at + RenderBatch.Solid.Color));
            thing.Material.SetFloat(k_Metallic, values[at + RenderBatch.Solid.Metallic]);
            thing.Material.SetFloat(k_Smoothness, values[at + RenderBatch.Solid.Smoothness]);
        }

        Thing Make()
        {
            var thing = new Thing { Object = new GameObject("Dactyl clutter"), Material = new Material(m_Template) };
            thing.Filter = thing.Object.AddComponent<MeshFilter>();
            Converted.AddRenderer(thing.Object, thing.Material, true);
            return thing;
        }

        Mesh[] Shapes()
        {
            if (m_Shapes == null)
                m_Shapes = System.Array.ConvertAll(new[] { Solids.Unit.Cube, Solids.Unit.Ball, Solids.Unit.Tube },
                    unit => Converted.Mesh(Solids.Shape(unit)));
            return m_Shapes;
        }
    }
}
