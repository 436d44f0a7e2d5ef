using System;
using System.Collections.Generic;

namespace Dactyl.Protocol
{
    /// <summary>What a stage must be able to do; Unity's does it with an engine, the tests' without.</summary>
    public interface IStage
    {
        /// <summary>Engine, graphics device and so on, one "key: value" a line.</summary>
        string Describe();

        /// <summary>Shows this scene instead of the one before.</summary>
        void Load(ScenePack pack);

        /// <summary>Keeps a PNG file that samples may show.</summary>
        void AddPicture(ulong hash, byte[] png);

        /// <summary>Keeps surroundings that samples may have.</summary>
        void AddSurroundings(ulong hash, EnvironmentMap map);

        /// <summary>Lets go of all pictures and surroundings.</summary>
        void Forget();

        /// <summary>Draws [sample][camera][row from the top][column][rgb] into the bytes from offset.</summary>
        void Render(RenderBatch batch, byte[] pixels, int offset);
    }

    /// <summary>The one shape of visual observations, fixed when the agents are made; no samples for none.</summary>
    public struct ObservationShape
    {
        public int Samples;
        public int[] Widths, Heights; // of each camera's pictures

        /// <summary>"32:200x150,64x64": up to 32 samples of two cameras, 200 pixels wide and 150 high, and 64 x 64.</summary>
        public static ObservationShape Parse(string text)
        {
            var parts = text.Split(':');
            var sizes = Array.ConvertAll(parts[1].Split(','), size => Array.ConvertAll(size.Split('x'), int.Parse));
            return new ObservationShape
            {
                Samples = int.Parse(parts[0]),
                Widths = Array.ConvertAll(sizes, size => size[0]),
                Heights = Array.ConvertAll(sizes, size => size[1]),
            };
        }

        public bool Holds(RenderBatch batch)
        {
            bool holds = Samples > 0 && batch.Samples <= Samples && batch.Cameras.Count == Widths.Length;
            for (int k = 0; holds && k < Widths.Length; k++)
                holds = batch.Widths[k] == Widths[k] && batch.Heights[k] == Heights[k];
            return holds;
        }

        public override string ToString()
        {
            if (Samples == 0) return "nothing";
            var sizes = new string[Widths.Length];
            for (int k = 0; k < sizes.Length; k++) sizes[k] = Widths[k] + " x " + Heights[k];
            return $"up to {Samples} samples of {string.Join(", ", sizes)}";
        }
    }

    /// <summary>What goes back to Python.</summary>
    public sealed class Answer
    {
        /// <summary>For the side channel.</summary>
        public byte[] Message;

        public uint Id;
        public Status Status;

        /// <summary>Pictures that go back as observations; null if there are none.</summary>
        public RenderBatch Observed;

        public byte[] Pixels;
    }

    /// <summary>
    /// Answers requests: decides what they mean and what is wrong with them. Free of the engine, so that every decision is
    /// tested without one. Never throws: ML-Agents swallows what a side channel throws, and Python would wait in vain.
    /// </summary>
    public sealed class StageServer
    {
        const int k_MaxPictures = 512, k_MaxPictureBytes = 1 << 27; // that are kept, all together

        readonly IStage m_Stage;
        readonly ObservationShape m_Observations;
        readonly Pieces m_PackPieces = new Pieces(), m_PicturePieces = new Pieces();
        readonly Dictionary<ulong, bool> m_Pictures = new Dictionary<ulong, bool>(); // whether they are surroundings
        long m_PictureBytes;
        ScenePack m_Pack;
        ulong m_Scene;

        public StageServer(IStage stage, ObservationShape observations)
        {
            m_Stage = stage;
            m_Observations = observations;
        }

        public Answer Answer(byte[] message)
        {
            uint id = Request.IdOf(message);
            try
            {
                var request = Request.Decode(message);
                switch (request.Kind)
                {
                    case Kind.Describe: return Done(id, m_Stage.Describe());
                    case Kind.Load: return Load(id, request);
                    case Kind.Render: return Render(id, request);
                    case Kind.Picture: return Picture(id, request);
                    case Kind.Forget: return Forget(id);
                    default: throw new WireException(Status.Malformed, $"unknown kind {(int)request.Kind} of request");
                }
            }
            catch (WireException error)
            {
                return Refusal(id, error.Status, error.Message);
            }
            catch (Exception error)
            {
                return Refusal(id, Status.Failed, error.ToString());
            }
        }

        Answer Load(uint id, Request request)
        {
            var bytes = m_PackPieces.Add(request);
            if (bytes == null) return Done(id, "");
            var pack = ScenePack.Decode(bytes);
            m_Pack = null; // a stage that fails half-way shows neither scene
            m_Stage.Load(pack);
            m_Pack = pack;
            m_Scene = request.Hash;
            return Done(id, "");
        }

        Answer Picture(uint id, Request request)
        {
            var content = m_PicturePieces.Add(request);
            if (content == null || m_Pictures.ContainsKey(request.Hash)) return Done(id, "");
            long bytes = m_PictureBytes + content.Length;
            Require(m_Pictures.Count < k_MaxPictures && bytes <= k_MaxPictureBytes,
                $"{m_Pictures.Count + 1} pictures of {bytes} bytes are too many: let some be forgotten");
            bool surroundings = EnvironmentMap.IsOne(content);
            if (surroundings) m_Stage.AddSurroundings(request.Hash, EnvironmentMap.Decode(content));
            else m_Stage.AddPicture(request.Hash, content);
            m_Pictures.Add(request.Hash, surroundings);
            m_PictureBytes = bytes;
            return Done(id, "");
        }

        Answer Forget(uint id)
        {
            m_Pictures.Clear();
            m_PictureBytes = 0;
            m_Stage.Forget();
            return Done(id, "");
        }

        Answer Render(uint id, Request request)
        {
            if (m_Pack == null || request.Hash != m_Scene)
                throw new WireException(Status.Scene, $"scene {request.Hash:x16} is not the one that is loaded");
            var batch = RenderBatch.Decode(request.Payload);
            batch.Check(m_Pack);
            var areSurroundings = new bool[batch.Pictures.Length];
            for (int k = 0; k < areSurroundings.Length; k++)
                if (!m_Pictures.TryGetValue(batch.Pictures[k], out areSurroundings[k]))
                    throw new WireException(Status.Scene, $"picture {batch.Pictures[k]:x16} is not here");
            int misused = batch.Misused(m_Pack, areSurroundings);
            Require(misused < 0, $"picture {misused} is shown as what it is not: as surroundings, or as a texture");
            if (batch.Form == PictureForm.Rgb)
            {
                var message = Reply.WithPictures(id, batch);
                m_Stage.Render(batch, message, Reply.HeaderBytes);
                return new Answer { Id = id, Message = message };
            }
            Require(m_Observations.Holds(batch),
                $"the agents observe {m_Observations}; ask for these sizes, or for raw pictures");
            var pixels = new byte[batch.Samples * batch.SampleBytes];
            m_Stage.Render(batch, pixels, 0);
            return new Answer { Id = id, Message = Reply.PicturesElsewhere(id, batch), Observed = batch, Pixels = pixels };
        }

        static void Require(bool condition, string otherwise)
        {
            if (!condition) throw new WireException(Status.Mismatch, otherwise);
        }

        static Answer Done(uint id, string text)
        {
            return new Answer { Id = id, Message = Reply.Done(id, text) };
        }

        static Answer Refusal(uint id, Status status, string text)
        {
            return new Answer { Id = id, Status = status, Message = Reply.Error(id, status, text) };
        }
    }
}
