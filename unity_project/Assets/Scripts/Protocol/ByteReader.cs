using System;
using System.Text;

namespace Dactyl.Protocol
{
    /// <summary>Takes little-endian bytes apart in order and never reads beyond their end.</summary>
    public sealed class ByteReader
    {
        readonly byte[] m_Bytes;
        int m_Position;

        public ByteReader(byte[] bytes, int start = 0)
        {
            if (!BitConverter.IsLittleEndian) throw new NotSupportedException("this machine is big-endian");
            m_Bytes = bytes;
            m_Position = start;
        }

        public int Remaining => m_Bytes.Length - m_Position;

        /// <summary>Whether the next bytes are these; steps over them.</summary>
        public bool Matches(byte[] expected)
        {
            int start = Take(expected.Length);
            for (int i = 0; i < expected.Length; i++)
                if (m_Bytes[start + i] != expected[i]) return false;
            return true;
        }

        public int U16()
        {
            return BitConverter.ToUInt16(m_Bytes, Take(2));
        }

        public int I16()
        {
            return BitConverter.ToInt16(m_Bytes, Take(2));
        }

        public uint U32()
        {
            return BitConverter.ToUInt32(m_Bytes, Take(4));
        }

        public ulong U64()
        {
            return BitConverter.ToUInt64(m_Bytes, Take(8));
        }

        public float F32()
        {
            return BitConverter.ToSingle(m_Bytes, Take(4));
        }

        /// <summary>Text behind its length, UTF-8.</summary>
        public string Text()
        {
            int length = U16();
            return Encoding.UTF8.GetString(m_Bytes, Take(length), length);
        }

        public byte[] Bytes(long count)
        {
            return Array<byte>(count, 1);
        }

        public float[] Floats(long count)
        {
            return Array<float>(count, sizeof(float));
        }

        public int[] Ints(long count)
        {
            return Array<int>(count, sizeof(int));
        }

        /// <summary>Half-precision numbers, as they are.</summary>
        public ushort[] Halves(long count)
        {
            return Array<ushort>(count, sizeof(ushort));
        }

        public void Skip(long count)
        {
            Take(count);
        }

        T[] Array<T>(long count, int size)
        {
            int start = Take(checked(count * size));
            var values = new T[count];
            Buffer.BlockCopy(m_Bytes, start, values, 0, (int)count * size);
            return values;
        }

        int Take(long count)
        {
            if (count < 0 || count > Remaining)
                throw new WireException(Status.Malformed, $"the message ends early: {count} bytes wanted, {Remaining} left");
            int start = m_Position;
            m_Position += (int)count;
            return start;
        }
    }
}
