using System;

namespace Dactyl.Protocol
{
    /// <summary>
    /// Where pictures of cameras of different sizes lie in one texture: in rows from the bottom, as many as fit.
    /// </summary>
    public sealed class Mosaic
    {
        const int k_Side = 2048; // pixels; more only where a single picture needs it
        const int k_Samples = 8; // that it makes room for, where they fit

        readonly int[] m_Widths, m_Heights;
        int m_Left, m_Bottom, m_RowHeight;

        public int Width { get; }
        public int Height { get; }

        /// <summary>For cameras with pictures of these sizes.</summary>
        public Mosaic(int[] widths, int[] heights)
        {
            m_Widths = widths;
            m_Heights = heights;
            long together = 0;
            foreach (int width in widths)
            {
                together += width;
                Width = Math.Max(Width, width);
            }
            Width = Math.Max(Width, (int)Math.Min(together, k_Side));
            Height = int.MaxValue; // to see how much the samples need
            for (int picture = 0; picture < k_Samples * widths.Length && m_Bottom + m_RowHeight < k_Side; picture++)
                Place(picture % widths.Length, out _, out _);
            int needed = m_Bottom + m_RowHeight;
            Height = Math.Min(needed, k_Side);
            foreach (int height in heights) Height = Math.Max(Height, height);
            Clear();
        }

        /// <summary>Whether this is the one for these pictures.</summary>
        public bool Fits(int[] widths, int[] heights)
        {
            bool same = widths.Length == m_Widths.Length;
            for (int k = 0; same && k < widths.Length; k++)
                same = widths[k] == m_Widths[k] && heights[k] == m_Heights[k];
            return same;
        }

        /// <summary>Finds room for a camera's picture; false if there is none before it is cleared.</summary>
        public bool Place(int camera, out int left, out int bottom)
        {
            if (m_Left + m_Widths[camera] > Width)
            {
                m_Bottom += m_RowHeight;
                m_Left = m_RowHeight = 0;
            }
            left = m_Left;
            bottom = m_Bottom;
            if (m_Bottom + m_Heights[camera] > Height) return false;
            m_Left += m_Widths[camera];
            m_RowHeight = Math.Max(m_RowHeight, m_Heights[camera]);
            return true;
        }

        public void Clear()
        {
            m_Left = m_Bottom = m_RowHeight = 0;
        }
    }
}
