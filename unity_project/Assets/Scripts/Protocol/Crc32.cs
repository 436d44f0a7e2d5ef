namespace Dactyl.Protocol
{
    /// <summary>CRC-32 as in zlib and PNG.</summary>
    public static class Crc32
    {
        static readonly uint[] k_Table = MakeTable();

        /// <summary>Of bytes; continues one that was computed over the bytes before.</summary>
        public static uint Of(byte[] data, int offset, int count, uint before = 0)
        {
            uint crc = ~before;
            for (int i = offset; i < offset + count; i++) crc = k_Table[(crc ^ data[i]) & 0xFF] ^ (crc >> 8);
            return ~crc;
        }

        static uint[] MakeTable()
        {
            var table = new uint[256];
            for (uint i = 0; i < 256; i++)
            {
                uint crc = i;
                for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
                table[i] = crc;
            }
            return table;
        }
    }
}
