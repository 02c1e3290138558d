// mask MODEL IMAGE.ppm MASK.pgm: class ids of a picture, which has the model's size, @WIDTH@ x @HEIGHT@.
// The mask's values are class ids, which a viewer shows as black. Other resampling than Pillow's changes masks.
// Needs onnxruntime's headers and library, from the release archive of github.com/microsoft/onnxruntime:
//   g++ -std=c++17 mask.cpp -I$ORT/include -L$ORT/lib -lonnxruntime -o mask
//   magick image.png -filter triangle -resize @WIDTH@x@HEIGHT@! image.ppm

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

constexpr int64_t kHeight = @HEIGHT@, kWidth = @WIDTH@, kChannels = @CHANNELS@;

std::vector<uint8_t> read_ppm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  int64_t width = 0, height = 0, largest = 0;
  file >> kind >> width >> height >> largest;
  if (!file || kind != "P6" || largest != 255) throw std::runtime_error(path + ": no PPM file of 8 bits");
  if (width != kWidth || height != kHeight) throw std::runtime_error(path + ": resize it to the model's size first");
  file.get();
  std::vector<uint8_t> pixels(width * height * 3);  // rows from the top, RGB
  file.read(reinterpret_cast<char*>(pixels.data()), pixels.size());
  if (!file) throw std::runtime_error(path + ": cut short");
  return pixels;
}

int run(const char* model, const char* image, const char* target) {
  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "mask");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(2);
  Ort::Session session(env, model, options);

  std::vector<uint8_t> pixels = read_ppm(image);
  if (kChannels == 1) {
    for (int64_t i = 0; i < kWidth * kHeight; i++) {
      pixels[i] = (19595 * pixels[3 * i] + 38470 * pixels[3 * i + 1] + 7471 * pixels[3 * i + 2] + 32768) >> 16;
    }
    pixels.resize(kWidth * kHeight);
  }
  std::vector<int64_t> shape{1, kHeight, kWidth, kChannels};
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto input = Ort::Value::CreateTensor<uint8_t>(memory, pixels.data(), pixels.size(), shape.data(), shape.size());

  Ort::AllocatorWithDefaultOptions allocator;
  auto input_name = session.GetInputNameAllocated(0, allocator);
  auto output_name = session.GetOutputNameAllocated(0, allocator);
  const char* inputs[] = {input_name.get()};
  const char* outputs[] = {output_name.get()};
  auto results = session.Run(Ort::RunOptions{nullptr}, inputs, &input, 1, outputs, 1);

  auto found = results[0].GetTensorTypeAndShapeInfo();
  auto sizes = found.GetShape();  // (1, height, width)
  const uint8_t* mask = results[0].GetTensorData<uint8_t>();
  std::ofstream file(target, std::ios::binary);
  file << "P5\n" << sizes.back() << " " << sizes[sizes.size() - 2] << "\n255\n";
  file.write(reinterpret_cast<const char*>(mask), sizes.back() * sizes[sizes.size() - 2]);
  return file ? 0 : 1;
}

int main(int count, char** words) {
  if (count != 4) {
    std::cerr << "usage: mask MODEL IMAGE.ppm MASK.pgm\n";
    return 2;
  }
  try {
    return run(words[1], words[2], words[3]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
