using System;
using System.Collections.Generic;
using Dactyl.Protocol;
using Unity.MLAgents.SideChannels;

namespace Dactyl.Stage
{
    /// <summary>
    /// Keeps Python's messages until the next frame. Nothing is decoded here, because ML-Agents swallows what a channel
    /// throws while it receives.
    /// </summary>
    public sealed class SceneChannel : SideChannel
    {
        readonly List<byte[]> m_Messages = new List<byte[]>();

        public SceneChannel()
        {
            ChannelId = new Guid(Request.Channel);
        }

        protected override void OnMessageReceived(IncomingMessage message)
        {
            m_Messages.Add(message.GetRawBytes());
        }

        public byte[][] Take()
        {
            var messages = m_Messages.ToArray();
            m_Messages.Clear();
            return messages;
        }

        public void Send(byte[] bytes)
        {
            using (var message = new OutgoingMessage())
            {
                message.SetRawBytes(bytes);
                QueueMessageToSend(message);
            }
        }
    }
}
