// Not run: there was no .NET where this was written, from onnxruntime's documentation.
// dotnet add package Microsoft.ML.OnnxRuntime; dotnet add package SixLabors.ImageSharp
// dotnet run -- ../../model/model.int8.onnx image.png mask.png

using System;
using System.Linq;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using SixLabors.ImageSharp;
using SixLabors.ImageSharp.PixelFormats;
using SixLabors.ImageSharp.Processing;

if (args.Length != 3)
{
    Console.Error.WriteLine("usage: Mask MODEL IMAGE MASK.png");
    return 2;
}

const int Height = @HEIGHT@, Width = @WIDTH@, Channels = @CHANNELS@;

using var session = new InferenceSession(args[0]);
using var image = Image.Load<Rgb24>(args[1]);
image.Mutate(x => x.Resize(Width, Height, KnownResamplers.Triangle));
var rgb = new byte[Height * Width * 3];
image.CopyPixelDataTo(rgb);
var pixels = Channels == 3
    ? rgb
    : Enumerable.Range(0, Height * Width)
        .Select(i => (byte)((19595 * rgb[3 * i] + 38470 * rgb[3 * i + 1] + 7471 * rgb[3 * i + 2] + 32768) >> 16))
        .ToArray();

var tensor = new DenseTensor<byte>(pixels, new[] { 1, Height, Width, Channels });
using var results = session.Run(new[] { NamedOnnxValue.CreateFromTensor(session.InputMetadata.Keys.First(), tensor) });
var mask = results.First().AsTensor<byte>();                    // a class id for each pixel: (1, height, width)

using var picture = Image.LoadPixelData<L8>(mask.ToArray(), mask.Dimensions[2], mask.Dimensions[1]);
picture.SaveAsPng(args[2]);                                    // values are class ids: a viewer shows them as black
return 0;
