namespace Dactyl.Protocol
{
    /// <summary>A camera's lens: focal lengths and principal point in pixels, from the picture's top left corner.</summary>
    public static class Lens
    {
        /// <summary>
        /// The matrix, row by row, that takes a point in front of the camera to clip coordinates. As
        /// Camera.projectionMatrix has it on every graphics device: x right, y up, the camera looks along -z; what is seen
        /// lies within -1 and 1, y up.
        /// </summary>
        /// <remarks>
        /// The picture spans 0 to width, so that the first pixel's centre is at 0.5. Pixel u = fx x / -z + cx is the clip
        /// coordinate 2 u / width - 1; pixel v = -fy y / -z + cy, which grows downwards, is 1 - 2 v / height.
        /// </remarks>
        public static float[] Projection(float[] values, int at, int width, int height)
        {
            double fx = values[at + RenderBatch.Camera.Focal], fy = values[at + RenderBatch.Camera.Focal + 1];
            double cx = values[at + RenderBatch.Camera.Centre], cy = values[at + RenderBatch.Camera.Centre + 1];
            double near = values[at + RenderBatch.Camera.Near], far = values[at + RenderBatch.Camera.Far];
            return new[]
            {
                (float)(2 * fx / width), 0, (float)(1 - 2 * cx / width), 0,
                0, (float)(2 * fy / height), (float)(2 * cy / height - 1), 0,
                0, 0, (float)(-(far + near) / (far - near)), (float)(-2 * far * near / (far - near)),
                0, 0, -1, 0,
            };
        }
    }
}
