// Not run: there was no Android SDK where this was written, from onnxruntime's documentation.
// build.gradle.kts: implementation("com.microsoft.onnxruntime:onnxruntime-android:1.22.0"), or newer.
// model.int8.onnx lies in the app's assets/.

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder

class Masks(context: Context) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession =
        environment.createSession(context.assets.open("model.int8.onnx").readBytes(), OrtSession.SessionOptions())

    /** Class ids, row by row, for the picture resized to WIDTH x HEIGHT; the names are in model.json. */
    fun of(bitmap: Bitmap): ByteArray {
        // Not Pillow's resampling: it does not smooth, which changes the masks of large pictures; see native/README.md.
        val small = Bitmap.createScaledBitmap(bitmap, WIDTH, HEIGHT, true)
        val colours = IntArray(WIDTH * HEIGHT)
        small.getPixels(colours, 0, WIDTH, 0, 0, WIDTH, HEIGHT)
        val pixels = ByteBuffer.allocateDirect(WIDTH * HEIGHT * CHANNELS).order(ByteOrder.nativeOrder())
        for (colour in colours) {
            val red = colour shr 16 and 255
            val green = colour shr 8 and 255
            val blue = colour and 255
            if (CHANNELS == 3) {
                pixels.put(red.toByte()).put(green.toByte()).put(blue.toByte())
            } else {
                pixels.put(((19595 * red + 38470 * green + 7471 * blue + 32768) shr 16).toByte())
            }
        }
        pixels.rewind()
        val shape = longArrayOf(1, HEIGHT.toLong(), WIDTH.toLong(), CHANNELS.toLong())
        OnnxTensor.createTensor(environment, pixels, shape, OnnxJavaType.UINT8).use { tensor ->
            session.run(mapOf(session.inputNames.first() to tensor)).use { results ->
                val buffer = (results[0] as OnnxTensor).byteBuffer
                return ByteArray(buffer.remaining()).also(buffer::get)
            }
        }
    }

    override fun close() = session.close()

    companion object {
        const val HEIGHT = @HEIGHT@
        const val WIDTH = @WIDTH@
        const val CHANNELS = @CHANNELS@
    }
}
