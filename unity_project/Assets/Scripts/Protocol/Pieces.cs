using System;

namespace Dactyl.Protocol
{
    /// <summary>Puts together what arrives in pieces, in order: a scene pack or a picture.</summary>
    public sealed class Pieces
    {
        byte[] m_Whole = new byte[0];
        long m_Received;

        /// <summary>The whole, once its last piece is there; null before.</summary>
        /// <exception cref="WireException">for a piece out of order, or a whole with another hash</exception>
        public byte[] Add(Request request)
        {
            long whole = request.Payload.U32(), offset = request.Payload.U32();
            var piece = request.Payload.Bytes(request.Payload.Remaining);
            if (offset == 0)
            {
                m_Whole = new byte[whole];
                m_Received = 0;
            }
            if (whole != m_Whole.Length || offset != m_Received || offset + piece.Length > whole)
                throw new WireException(Status.Scene, "a piece of a scene pack or picture is missing or out of order");
            Buffer.BlockCopy(piece, 0, m_Whole, (int)offset, piece.Length);
            m_Received += piece.Length;
            if (m_Received < whole) return null;

            var bytes = m_Whole;
            m_Whole = new byte[0];
            if (ScenePack.Hash(bytes) != request.Hash)
                throw new WireException(Status.Scene, "the scene pack or picture that arrived has another hash");
            return bytes;
        }
    }
}
