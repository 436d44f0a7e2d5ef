using System;

namespace Dactyl.Protocol
{
    /// <summary>How the player fared with a request; the numbers travel.</summary>
    public enum Status
    {
        Ok = 0,
        Malformed = 1, // the request's bytes
        Version = 2, // of the request
        Scene = 3, // not the one that is loaded, a picture that is not there, or one of them that cannot be loaded
        Mismatch = 4, // counts or sizes that the scene or the agents do not have
        Failed = 5, // an exception in the player
    }

    /// <summary>A message that cannot be obeyed, with the status that the reply carries.</summary>
    public sealed class WireException : Exception
    {
        public Status Status { get; }

        public WireException(Status status, string message) : base(message)
        {
            Status = status;
        }
    }

    /// <summary>What a request asks for; the numbers travel.</summary>
    public enum Kind
    {
        Describe = 0,
        Load = 1,
        Render = 2,
        Picture = 3,
        Forget = 4,
    }

    /// <summary>
    /// One message from Python. datagen/unity/wire.py is the format's documentation; this is the player's half of it.
    /// </summary>
    public sealed class Request
    {
        /// <summary>The side channel that requests and replies travel in.</summary>
        public const string Channel = "6f0b2c1e-8a54-4f0e-9d57-3c1a7e5b9d01";

        public const int Major = 2, Minor = 0;
        const int k_HeaderBytes = 32, k_IdOffset = 12, k_CrcOffset = 28;
        static readonly byte[] k_Magic = { (byte)'U', (byte)'V', (byte)'R', (byte)'Q' };

        public Kind Kind { get; private set; }
        public uint Id { get; private set; }

        /// <summary>Of the scene pack or picture that the request is about; 0 where it is about none.</summary>
        public ulong Hash { get; private set; }

        /// <summary>Reads the payload.</summary>
        public ByteReader Payload { get; private set; }

        /// <exception cref="WireException">for anything that is not a whole, undamaged request of this version</exception>
        public static Request Decode(byte[] message)
        {
            var reader = new ByteReader(message);
            if (!reader.Matches(k_Magic)) throw new WireException(Status.Malformed, "this is no request");
            int major = reader.U16(), minor = reader.U16(), headerBytes = reader.U16();
            if (major != Major)
                throw new WireException(Status.Version,
                    $"the request is of protocol {major}.{minor}, this player speaks {Major}.{Minor}");
            var request = new Request { Kind = (Kind)reader.U16(), Id = reader.U32(), Hash = reader.U64() };
            uint payloadBytes = reader.U32(), crc = reader.U32();
            if (headerBytes < k_HeaderBytes || headerBytes + (long)payloadBytes != message.Length)
                throw new WireException(Status.Malformed, "the request does not have the stated size");
            uint actual = Crc32.Of(message, 0, k_CrcOffset);
            actual = Crc32.Of(message, k_HeaderBytes, message.Length - k_HeaderBytes, actual);
            if (actual != crc) throw new WireException(Status.Malformed, "the request is damaged");
            request.Payload = new ByteReader(message, headerBytes);
            return request;
        }

        /// <summary>The id of a message that may be anything, so that even a refusal says what it refuses.</summary>
        public static uint IdOf(byte[] message)
        {
            return message.Length < k_IdOffset + 4 ? 0 : BitConverter.ToUInt32(message, k_IdOffset);
        }
    }
}
