using System;

namespace Dactyl.Protocol
{
    /// <summary>What becomes of pixels between a texture and the wire.</summary>
    public static class Pictures
    {
        /// <summary>
        /// Copies a tile of an RGB24 texture. A texture's first row is the bottom one, the wire's is the top one.
        /// </summary>
        public static void CopyTile(byte[] texture, int textureWidth, int left, int bottom, int width, int height,
            byte[] target, int offset)
        {
            for (int row = 0; row < height; row++)
            {
                int source = ((bottom + height - 1 - row) * textureWidth + left) * 3;
                Buffer.BlockCopy(texture, source, target, offset + row * width * 3, width * 3);
            }
        }

        /// <summary>
        /// A PNG file whose deflate blocks are stored, not compressed: lossless, a memory copy to make, and readable by
        /// every PNG reader. Loopback has bandwidth to spare; a compressor would take most of the time.
        /// </summary>
        public static byte[] StoredPng(byte[] rgb, int offset, int width, int height)
        {
            const int block = 65535;
            int row = 1 + 3 * width, raw = row * height, blocks = (raw + block - 1) / block;
            var scanlines = new byte[raw]; // each begins with its filter, 0 for none
            for (int y = 0; y < height; y++) Buffer.BlockCopy(rgb, offset + y * 3 * width, scanlines, y * row + 1, 3 * width);

            var header = new byte[13];
            PutBigEndian(header, 0, (uint)width);
            PutBigEndian(header, 4, (uint)height);
            header[8] = 8; // bits per channel
            header[9] = 2; // RGB

            var data = new byte[2 + raw + 5 * blocks + 4];
            data[0] = 0x78; // zlib, 32 kB window, no compression
            data[1] = 0x01;
            int at = 2;
            for (int start = 0; start < raw; start += block)
            {
                int count = Math.Min(block, raw - start);
                data[at] = (byte)(start + count == raw ? 1 : 0);
                data[at + 1] = (byte)count;
                data[at + 2] = (byte)(count >> 8);
                data[at + 3] = (byte)~count;
                data[at + 4] = (byte)(~count >> 8);
                Buffer.BlockCopy(scanlines, start, data, at + 5, count);
                at += 5 + count;
            }
            PutBigEndian(data, at, Adler32(scanlines));

            var png = new byte[8 + 3 * 12 + header.Length + data.Length];
            Buffer.BlockCopy(new byte[] { 137, 80, 78, 71, 13, 10, 26, 10 }, 0, png, 0, 8);
            at = PutChunk(png, 8, "IHDR", header);
            at = PutChunk(png, at, "IDAT", data);
            PutChunk(png, at, "IEND", new byte[0]);
            return png;
        }

        static int PutChunk(byte[] png, int at, string type, byte[] data)
        {
            PutBigEndian(png, at, (uint)data.Length);
            for (int i = 0; i < 4; i++) png[at + 4 + i] = (byte)type[i];
            Buffer.BlockCopy(data, 0, png, at + 8, data.Length);
            PutBigEndian(png, at + 8 + data.Length, Crc32.Of(png, at + 4, 4 + data.Length));
            return at + 12 + data.Length;
        }

        static uint Adler32(byte[] data)
        {
            uint a = 1, b = 0;
            for (int i = 0; i < data.Length;)
            {
                int end = Math.Min(data.Length, i + 5552); // the most that cannot overflow
                for (; i < end; i++)
                {
                    a += data[i];
                    b += a;
                }
                a %= 65521;
                b %= 65521;
            }
            return (b << 16) | a;
        }

        static void PutBigEndian(byte[] target, int offset, uint value)
        {
            for (int i = 0; i < 4; i++) target[offset + i] = (byte)(value >> (24 - 8 * i));
        }
    }
}
