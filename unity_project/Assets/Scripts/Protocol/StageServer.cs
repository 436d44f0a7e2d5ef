using System;

namespace Dactyl.Protocol
{
    /// <summary>What a stage must be able to do; Unity's does it with an engine, the tests' without.</summary>
    public interface IStage
    {
        /// <summary>Engine, graphics device and so on, one "key: value" a line.</summary>
        string Describe();

        /// <summary>Shows this scene instead of the one before.</summary>
        void Load(ScenePack pack);

        /// <summary>Draws [sample][camera][row from the top][column][rgb] into the bytes from offset.</summary>
        void Render(RenderBatch batch, byte[] pixels, int offset);
    }

    /// <summary>The one shape of visual observations, fixed when the agents are made; no samples for none.</summary>
    public struct ObservationShape
    {
        public int Samples, Cameras, Width, Height;
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
        const int k_MaxSide = 8192; // pixels: what graphics devices can draw, and what byte arrays can hold

        readonly IStage m_Stage;
        readonly ObservationShape m_Observations;
        byte[] m_Incoming = new byte[0];
        long m_Received;
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
            long whole = request.Payload.U32(), offset = request.Payload.U32();
            var piece = request.Payload.Bytes(request.Payload.Remaining);
            if (offset == 0)
            {
                m_Incoming = new byte[whole];
                m_Received = 0;
            }
            if (whole != m_Incoming.Length || offset != m_Received || offset + piece.Length > whole)
                throw new WireException(Status.Scene, "a piece of the scene pack is missing or out of order");
            Buffer.BlockCopy(piece, 0, m_Incoming, (int)offset, piece.Length);
            m_Received += piece.Length;
            if (m_Received < whole) return Done(id, "");

            var bytes = m_Incoming;
            m_Incoming = new byte[0];
            if (ScenePack.Hash(bytes) != request.Scene)
                throw new WireException(Status.Scene, "the scene pack that arrived has another hash");
            var pack = ScenePack.Decode(bytes);
            m_Pack = null; // a stage that fails half-way shows neither scene
            m_Stage.Load(pack);
            m_Pack = pack;
            m_Scene = request.Scene;
            return Done(id, "");
        }

        Answer Render(uint id, Request request)
        {
            if (m_Pack == null || request.Scene != m_Scene)
                throw new WireException(Status.Scene, $"scene {request.Scene:x16} is not the one that is loaded");
            var batch = RenderBatch.Decode(request.Payload);
            Require(batch.Samples > 0 && batch.Cameras.Count > 0, "an empty batch");
            Require(batch.Width > 0 && batch.Width <= k_MaxSide && batch.Height > 0 && batch.Height <= k_MaxSide,
                $"pictures of {batch.Width} x {batch.Height}; 1 to {k_MaxSide} pixels a side are possible");
            Require(batch.Bodies.Count == m_Pack.Bodies.Length,
                $"{batch.Bodies.Count} bodies, the scene has {m_Pack.Bodies.Length}");
            Require(batch.Materials.Count == m_Pack.Materials.Length,
                $"{batch.Materials.Count} materials, the scene has {m_Pack.Materials.Length}");
            Require(batch.Msaa == 1 || batch.Msaa == 2 || batch.Msaa == 4 || batch.Msaa == 8,
                $"{batch.Msaa} samples per pixel; 1, 2, 4 and 8 are possible");
            if (batch.Form == PictureForm.Rgb)
            {
                var message = Reply.WithPictures(id, batch);
                m_Stage.Render(batch, message, Reply.HeaderBytes);
                return new Answer { Id = id, Message = message };
            }
            var shape = m_Observations;
            Require(batch.Samples <= shape.Samples && batch.Cameras.Count == shape.Cameras && batch.Width == shape.Width
                && batch.Height == shape.Height,
                $"the agents observe up to {shape.Samples} samples of {shape.Cameras} cameras at {shape.Width} x "
                + $"{shape.Height}; ask for these, or for raw pictures");
            var pixels = new byte[batch.Samples * batch.Cameras.Count * batch.ImageBytes];
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
