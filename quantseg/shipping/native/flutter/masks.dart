// Not run: there was no Flutter where this was written, from the documentation of the packages that it names.
// pubspec.yaml: dependencies onnxruntime: ^1.4.1 and image: ^4.2.0; assets: assets/model.int8.onnx.

import 'dart:typed_data';

import 'package:flutter/services.dart' show rootBundle;
import 'package:image/image.dart' as img;
import 'package:onnxruntime/onnxruntime.dart';

class Masks {
  static const height = @HEIGHT@, width = @WIDTH@, channels = @CHANNELS@;
  final OrtSession _session;

  Masks._(this._session);

  static Future<Masks> load() async {
    OrtEnv.instance.init();
    final asset = await rootBundle.load('assets/model.int8.onnx');
    return Masks._(OrtSession.fromBuffer(asset.buffer.asUint8List(), OrtSessionOptions()));
  }

  /// Rows of class ids for the picture resized to width x height; the names are in model.json.
  List<List<int>> of(img.Image picture) {
    // Not Pillow's resampling, which changes some masks; see native/README.md.
    final small = img.copyResize(picture, width: width, height: height, interpolation: img.Interpolation.average);
    final pixels = Uint8List(height * width * channels);
    var place = 0;
    for (final pixel in small) {
      final red = pixel.r.toInt(), green = pixel.g.toInt(), blue = pixel.b.toInt();
      if (channels == 3) {
        pixels[place++] = red;
        pixels[place++] = green;
        pixels[place++] = blue;
      } else {
        pixels[place++] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
      }
    }
    final input = OrtValueTensor.createTensorWithDataList(pixels, [1, height, width, channels]);
    final options = OrtRunOptions();
    final outputs = _session.run(options, {_session.inputNames.first: input});
    final mask = (outputs.first!.value as List).first as List;
    final rows = [for (final row in mask) List<int>.from(row as List)];
    input.release();
    options.release();
    for (final output in outputs) {
      output?.release();
    }
    return rows;
  }

  void close() => _session.release();
}
