using System;
using System.Text;

namespace Dactyl.Protocol
{
    /// <summary>Messages to Python: a header of 32 bytes, then pixels or text.</summary>
    public static class Reply
    {
        public const int HeaderBytes = 32;
        const int k_NoPayload = 0, k_Rgb = 1, k_Text = 2;

        /// <summary>"Done", with a text if there is something to say.</summary>
        public static byte[] Done(uint id, string text = "")
        {
            return WithText(id, Status.Ok, text);
        }

        public static byte[] Error(uint id, Status status, string text)
        {
            return WithText(id, status, text);
        }

        /// <summary>Header and room for the pictures of a batch, which begin at HeaderBytes.</summary>
        public static byte[] WithPictures(uint id, RenderBatch batch)
        {
            long bytes = batch.Samples * batch.SampleBytes;
            if (bytes > int.MaxValue - HeaderBytes)
                throw new WireException(Status.Mismatch, "the batch's pictures do not fit one message: send fewer samples");
            return Make(id, Status.Ok, batch, k_Rgb, (int)bytes);
        }

        /// <summary>Header only: the pictures travel as observations.</summary>
        public static byte[] PicturesElsewhere(uint id, RenderBatch batch)
        {
            return Make(id, Status.Ok, batch, k_NoPayload, 0);
        }

        static byte[] WithText(uint id, Status status, string text)
        {
            var payload = Encoding.UTF8.GetBytes(text);
            var reply = Make(id, status, null, payload.Length > 0 ? k_Text : k_NoPayload, payload.Length);
            Buffer.BlockCopy(payload, 0, reply, HeaderBytes, payload.Length);
            return reply;
        }

        static byte[] Make(uint id, Status status, RenderBatch batch, int form, int payloadBytes)
        {
            var reply = new byte[HeaderBytes + payloadBytes];
            reply[0] = (byte)'U';
            reply[1] = (byte)'V';
            reply[2] = (byte)'R';
            reply[3] = (byte)'P';
            Put16(reply, 4, Request.Major);
            Put16(reply, 6, Request.Minor);
            Put16(reply, 8, HeaderBytes);
            Put16(reply, 10, (int)status);
            Put32(reply, 12, id);
            if (batch != null)
            {
                Put16(reply, 16, batch.Samples);
                Put16(reply, 18, batch.Cameras.Count);
                Put16(reply, 20, batch.Height);
                Put16(reply, 22, batch.Width);
            }
            Put16(reply, 24, form);
            Put32(reply, 28, (uint)payloadBytes);
            return reply;
        }

        static void Put16(byte[] target, int offset, int value)
        {
            target[offset] = (byte)value;
            target[offset + 1] = (byte)(value >> 8);
        }

        static void Put32(byte[] target, int offset, uint value)
        {
            Put16(target, offset, (int)(value & 0xFFFF));
            Put16(target, offset + 2, (int)(value >> 16));
        }
    }
}
