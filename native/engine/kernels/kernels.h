// Loops of the CPU that LibTorch has no fast operator for. Every source beside this header but dispatch.cc is compiled
// once per instruction set (CMakeLists.txt); `kernels()` gives the best that this processor runs.
//
// Pointers are to row-major elements of one type, float32 or bfloat16 as their bits. Sums are taken in float32 or
// better. Nothing here starts threads.
#pragma once

#include <cstdint>
#include <vector>

namespace animatediff {

/** Element types of the loops. */
enum class Element : uint8_t { kFloat32, kBFloat16 };

/** Where the queries, or the keys and values, or the output of one head lie: rows of `width` elements. */
template <typename Pointer>
struct HeadRows {
  Pointer data;
  /** Elements from one row to the next. */
  int64_t stride;
  int64_t count;
};

/** Keys and values of one head in the order in which `attend` reads them. */
struct PackedHead {
  const void* keys;
  const void* values;
  int64_t count;
};

/**
 * A convolution with a 3x3 kernel, stride 1 and padding 1. Pictures are [images, height, width, channels]; weights
 * [inputs, 3, 3, outputs]. `inputs` divides by 16, `outputs` by 32.
 *
 * Or the same of x with height and width doubled, every pixel of which stands for four: y is of that size, and what is
 * computed is one of the four pictures that its pixels with even and odd rows and columns make.
 */
struct Convolution3x3 {
  Element type;
  const void* x;
  const void* weight;
  /** [outputs], float32, or null. */
  const float* bias;
  /** Added to the output, in its shape, or null. May be `y` itself. */
  const void* added;
  void* y;
  int64_t images;
  int64_t height;
  int64_t width;
  int64_t inputs;
  int64_t outputs;
  /** -1: nothing is doubled. 0 to 3: twice the row's parity in y, plus the column's, of the pixels that are written. */
  int64_t part = -1;
};

/** Outputs that one transformed panel of weights holds. */
inline constexpr int64_t kWinogradOutputs = 32;
/** Numbers that a tile of 4x4 pixels, or a kernel, becomes: at most so many. */
inline constexpr int64_t kWinogradPlaces = 36;

/** Of a layer: a pixel of a part sees no more than 2x2 pixels of x, so that a tile sees 5x5 of them, not 6x6. */
constexpr int64_t winograd_places(const Convolution3x3& layer) { return layer.part < 0 ? kWinogradPlaces : 25; }

/** Tiles of 4x4 pixels that cover all pictures, or parts of them, those at the edges only in part. */
constexpr int64_t winograd_tile_count(const Convolution3x3& layer) {
  return layer.images * ((layer.height + 3) / 4) * ((layer.width + 3) / 4);
}

/** Floats from one transformed tile to the next: rows of a power of two would all want the same lines of the cache. */
constexpr int64_t winograd_stride(const Convolution3x3& layer) { return layer.inputs + 16; }

/** Rows, outputs and depth of the pieces that a TiledProduct consists of. */
inline constexpr int64_t kRowsOfTile = 16;
inline constexpr int64_t kOutputsOfPanel = 32;
inline constexpr int64_t kDepthOfStep = 32;

/** Where a weight's element is in a tile of 32 inputs by 16 outputs: pairs of inputs for each output. */
constexpr int64_t place_in_tile(int64_t input, int64_t output) { return input / 2 * 32 + 2 * output + input % 2; }

/**
 * y = x weight^T + bias + added in bfloat16, with sums in float32. The weight is [outputs / 32, steps, 2, 512]: tiles
 * as `place_in_tile` says, two beside each other for 32 inputs, panel after panel. Rows of x are read step by step, 32
 * elements at a time, from wherever `places` says: beside each other for a linear layer, pixel by pixel for a
 * convolution.
 */
struct TiledProduct {
  const void* weight;
  int64_t outputs;
  int64_t steps;
  /** [steps]: elements from the start of a row to those of the step. */
  const int64_t* places;
  /** Elements of x from one row of a tile to the next. */
  int64_t stride;
  /** [outputs], float32, or null. */
  const float* bias;
  /** Of the shape of y, or null; may be y. */
  const void* added;
  /** [rows, outputs], or [rows, outputs / 2] where `gated`. */
  void* y;
  /** Each panel is 16 values and their 16 gates: y = values * gelu(gates), and nothing is added. */
  bool gated = false;
};

/** Up to sixteen rows of x; all sixteen can be read, `count` are written to y from row `output` on. */
struct RowTile {
  const void* data;
  int64_t output;
  int64_t count;
};

/**
 * The same convolution as Convolution3x3, of doubled pictures too, in bfloat16 with a packed weight as in TiledProduct:
 * the nine pixels under the kernel row by row are its steps, so [outputs / 32, 9, inputs / 32, 2, 512]. `inputs` and
 * `outputs` divide by 32.
 */
struct TiledConvolution {
  const void* x;
  const void* weight;
  /** [inputs / 32]: 0, 32, 64 and so on. */
  const int64_t* places;
  /** [outputs], float32, or null. */
  const float* bias;
  /** Added to the output, in its shape, or null. May be `y` itself. */
  const void* added;
  void* y;
  int64_t images;
  int64_t height;
  int64_t width;
  int64_t inputs;
  int64_t outputs;
  /** As in Convolution3x3. */
  int64_t part = -1;
};

/** Numbers that a patch of 4x4 pixels, or a kernel, becomes; or a patch of the 3x3 that 2x2 pixels of a part see. */
constexpr int64_t patch_places(const TiledConvolution& layer) { return layer.part < 0 ? 16 : 9; }

/**
 * Patches, each for 2x2 pixels of the output, that cover all pictures, or parts of them; those at the edges only in
 * part.
 */
constexpr int64_t patch_count(const TiledConvolution& layer) {
  return layer.images * ((layer.height + 1) / 2) * ((layer.width + 1) / 2);
}

/** Elements from one transformed patch to the next: rows of a power of two would all want the same lines of the cache.
 */
constexpr int64_t patch_stride(const TiledConvolution& layer) { return layer.inputs + kDepthOfStep; }

/** Rows that `count` transformed patches take: whole tiles. */
constexpr int64_t patch_rows(int64_t count) { return (count + kRowsOfTile - 1) / kRowsOfTile * kRowsOfTile; }

/** `count` patches from number `first`: [patch_places, patch_rows, patch_stride]. */
struct Patches {
  const void* transformed;
  int64_t first;
  int64_t count;
};

struct Kernels {
  /**
   * Adds the sums over `rows` of x - pivot and of its square to `sums` and `squares` [channels], float64. x is
   * [rows, channels]; pivot [channels], float32.
   */
  void (*moments)(Element type, const void* x, int64_t rows, int64_t channels, const float* pivot, double* sums,
                  double* squares);

  /** y = x * scale + offset, then SiLU if asked for; x and y [rows, channels], scale and offset [channels]. */
  void (*scale_rows)(Element type, const void* x, void* y, int64_t rows, int64_t channels, const float* scale,
                     const float* offset, bool silu);

  /** LayerNorm of each row of x [rows, channels], plus `added` [channels] if it is not null (a position). */
  void (*layer_norm)(Element type, const void* x, void* y, int64_t rows, int64_t channels, const float* weight,
                     const float* bias, float epsilon, const float* added);

  /** y [rows, channels] = x[:, :channels] * gelu(x[:, channels:]) with the exact GELU; x [rows, 2 * channels]. */
  void (*gated_gelu)(Element type, const void* x, void* y, int64_t rows, int64_t channels);

  /** Bytes that `pack_keys` and `pack_values` each write for `count` rows of `width` elements. */
  int64_t (*packed_bytes)(Element type, int64_t count, int64_t width);
  void (*pack_keys)(Element type, HeadRows<const void*> keys, int64_t width, void* packed);
  void (*pack_values)(Element type, HeadRows<const void*> values, int64_t width, void* packed);

  /** Bytes of scratch memory for `attend`. */
  int64_t (*attend_scratch)(Element type, int64_t keys, int64_t width);
  /** output = softmax(queries keys^T * scale) values for one head. */
  void (*attend)(Element type, HeadRows<const void*> queries, const PackedHead& head, int64_t width, float scale,
                 HeadRows<void*> output, void* scratch);

  /** Transformed weights of the 32 outputs from `first_output`, a panel: [winograd_places, inputs, 32]. */
  void (*winograd_weights)(const Convolution3x3& layer, int64_t first_output, float* transformed);
  /** Transformed pixels around `count` tiles: [winograd_places, count, winograd_stride]. */
  void (*winograd_tiles)(const Convolution3x3& layer, int64_t first_tile, int64_t count, float* transformed);
  /** Writes the outputs of some panels for these tiles; `products` is scratch memory
   * [winograd_places, panels, count, 32]. */
  void (*winograd_outputs)(const Convolution3x3& layer, int64_t first_tile, int64_t count, const float* tiles,
                           int64_t first_output, int64_t panels, const float* weights, float* products);

  /** Bytes of scratch memory for `multiply_rows` with so many tiles. */
  int64_t (*product_scratch)(const TiledProduct& product, int64_t tiles);
  /** The rows of y that these tiles stand for. */
  void (*multiply_rows)(const TiledProduct& product, const RowTile* rows, int64_t tiles, void* scratch);

  /** Transformed weights of one panel of 32 outputs: [patch_places, inputs / 32, 2, 512]. */
  void (*patch_weights)(const TiledConvolution& layer, int64_t panel, void* transformed);
  /** Transformed pixels of `count` patches, as Patches has them. */
  void (*patch_pixels)(const TiledConvolution& layer, int64_t first, int64_t count, void* transformed);
  /** Bytes of scratch memory for `patch_outputs` with so many patches and panels. */
  int64_t (*patch_scratch)(const TiledConvolution& layer, int64_t count, int64_t panels);
  /** Writes the outputs of some panels for these patches; `weights` are those of the first panel and the next ones. */
  void (*patch_outputs)(const TiledConvolution& layer, const Patches& patches, int64_t first_panel, int64_t panels,
                        const void* weights, void* scratch);

  /** Whether no value of 16 bits has all of the `exponent` bits set, as infinity and NaN have. */
  bool (*finite_16)(const void* values, int64_t count, uint16_t exponent);
  /** The same for values of 32 bits. */
  bool (*finite_32)(const void* values, int64_t count, uint32_t exponent);
};

/** The kernels of one instruction set. */
struct KernelSet {
  const char* instruction_set;
  const Kernels* kernels;
  /** Whether the processor multiplies bfloat16 itself; without that float32 is faster. */
  bool multiplies_bfloat16;
  /** Whether it multiplies tiles of bfloat16 (AMX), sixteen times as fast as vectors of float32. */
  bool multiplies_tiles;
};

/** What this processor can run, best first. */
std::vector<KernelSet> runnable_kernels();

/** The best of them; never changes. */
const KernelSet& kernel_set();
const Kernels& kernels();

}  // namespace animatediff
