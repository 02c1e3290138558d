// Not run: there was no Xcode where this was written, from onnxruntime's documentation.
// Package: https://github.com/microsoft/onnxruntime-swift-package-manager, or CocoaPods' onnxruntime-objc.
// model.int8.onnx lies in the app's bundle.

import CoreGraphics
import Foundation
import OnnxRuntimeBindings

final class Masks {
    static let height = @HEIGHT@, width = @WIDTH@, channels = @CHANNELS@
    private let environment: ORTEnv
    private let session: ORTSession

    init() throws {
        guard let path = Bundle.main.path(forResource: "model.int8", ofType: "onnx") else {
            throw CocoaError(.fileNoSuchFile)
        }
        environment = try ORTEnv(loggingLevel: .warning)
        session = try ORTSession(env: environment, modelPath: path, sessionOptions: ORTSessionOptions())
    }

    /// Class ids, row by row, for the picture resized to width x height; the names are in model.json.
    func of(_ image: CGImage) throws -> Data {
        let (height, width, channels) = (Masks.height, Masks.width, Masks.channels)
        var rgba = [UInt8](repeating: 0, count: height * width * 4)
        guard let context = CGContext(data: &rgba, width: width, height: height, bitsPerComponent: 8,
                                      bytesPerRow: width * 4, space: CGColorSpace(name: CGColorSpace.sRGB)!,
                                      bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue) else {
            throw CocoaError(.featureUnsupported)
        }
        // Not Pillow's resampling, which changes some masks; see native/README.md.
        context.interpolationQuality = .medium
        context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))

        let pixels = NSMutableData(length: height * width * channels)!
        let bytes = pixels.mutableBytes.assumingMemoryBound(to: UInt8.self)
        for pixel in 0..<(height * width) {
            let parts = (0..<3).map { Int(rgba[4 * pixel + $0]) }
            if channels == 3 {
                for channel in 0..<3 { bytes[3 * pixel + channel] = UInt8(parts[channel]) }
            } else {
                bytes[pixel] = UInt8((19595 * parts[0] + 38470 * parts[1] + 7471 * parts[2] + 32768) >> 16)
            }
        }
        let shape = [1, height, width, channels].map { NSNumber(value: $0) }
        let input = try ORTValue(tensorData: pixels, elementType: .uInt8, shape: shape)
        let name = try session.inputNames()[0], output = try session.outputNames()[0]
        let results = try session.run(withInputs: [name: input], outputNames: [output], runOptions: nil)
        return try results[output]!.tensorData() as Data
    }
}
