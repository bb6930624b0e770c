// What the CUDA kernels offer to the host: pointers and sizes, no LibTorch. operators.cc calls them.
//
// Tensors are row-major and start at multiples of 16 bytes; channels and head widths are multiples of 8. Every function
// queues its work and returns at once: null, or why nothing was queued.
#pragma once

#include <cstdint>

namespace animatediff::cuda {

enum class Type : uint8_t { kFloat32, kFloat16, kBFloat16 };

/** Where work is queued: a cudaStream_t, and the index of its device. */
struct Queue {
  void* stream;
  int device;
};

struct GroupNorm {
  /** Statistics of one sample run over its `rows` rows of `channels`; x is [samples, rows, channels]. */
  int64_t samples;
  int64_t rows;
  int channels;
  int groups;
  float epsilon;
  bool silu;
  /** Blocks that share a sample, from `group_norm_splits`. */
  int splits;
  const void* x;
  void* y;
  const void* weight;
  const void* bias;
  /** [shifts, channels], added before the norm, samples / shifts consecutive samples share a row; null: nothing. */
  const void* shift;
  int64_t shifts;
  /** Sums of the first stage: float [samples, splits, groups, 2]. */
  float* partials;
};

/** So many blocks for each sample that all of them fill the device of `queue`. */
int group_norm_splits(Type type, int64_t samples, int64_t rows, int channels, const Queue& queue);
/** At most so many groups. */
inline constexpr int kMostGroups = 128;
/** GroupNorm, then SiLU if asked for. */
const char* group_norm(Type type, const GroupNorm& call, const Queue& queue);

struct LayerNorm {
  /** x is [frames, tokens, channels]. */
  int64_t frames;
  int64_t tokens;
  int channels;
  float epsilon;
  const void* x;
  void* y;
  const void* weight;
  const void* bias;
  /** [positions, channels]: row i % positions is added to the tokens of x[i]; null: nothing. */
  const void* position;
  int64_t positions;
};

/** LayerNorm over the channels, plus a position. */
const char* layer_norm(Type type, const LayerNorm& call, const Queue& queue);

/**
 * y [rows, channels] = a * gelu(b) with the exact GELU, where a and b are the halves of x + bias; x [rows, 2 *
 * channels], bias [2 * channels] or null.
 */
const char* gated_gelu(Type type, int64_t rows, int channels, const void* x, const void* bias, void* y,
                       const Queue& queue);

/** x += bias + residual; x and residual [rows, channels], bias [channels] or null. */
const char* add_bias_residual(Type type, int64_t rows, int channels, void* x, const void* bias, const void* residual,
                              const Queue& queue);

struct JoinChannels {
  int64_t rows;
  int left_channels;
  int right_channels;
  const void* left;
  const void* right;
  /** [rows, left_channels + right_channels]. */
  void* y;
};

/** Two tensors side by side. */
const char* join_channels(Type type, const JoinChannels& call, const Queue& queue);

struct TemporalAttention {
  int64_t clips;
  int frames;
  int64_t pixels;
  int heads;
  /** Elements of a head. */
  int width;
  /** [clips, frames, pixels, 3, heads, width]: queries, keys, values. */
  const void* qkv;
  /** [clips, frames, pixels, heads, width]. */
  void* out;
};

/** At most so many frames. */
inline constexpr int kMostFrames = 32;
/** Every pixel attends over its frames, each head for itself: softmax(q k^T / sqrt(width)) v. */
const char* temporal_attention(Type type, const TemporalAttention& call, const Queue& queue);

struct PhaseWeights {
  int outputs;
  int inputs;
  /** [outputs, 3, 3, inputs]. */
  const void* weight;
  /** [4 * outputs, 2, 2, inputs], the phases behind one another. */
  void* phases;
};

/** The kernels of a 3x3 convolution behind nearest-neighbour upsampling, as convolutions in front of it. */
const char* phase_weights(Type type, const PhaseWeights& call, const Queue& queue);

struct Patches {
  int64_t images;
  int64_t height;
  int64_t width;
  int channels;
  /** [images, height, width, channels]. */
  const void* x;
  /** [images, height + 1, width + 1, 2, 2, channels]. */
  void* y;
};

/** The 2x2 pixels that meet at each corner, zeros beyond the edge: what the phases' kernels are multiplied with. */
const char* corner_patches(Type type, const Patches& call, const Queue& queue);

struct JoinPhases {
  int64_t images;
  int64_t height;
  int64_t width;
  int channels;
  /** [images, height + 1, width + 1, 4, channels]: the phases of each place. */
  const void* x;
  /** [channels] or null. */
  const void* bias;
  /** [images, 2 * height, 2 * width, channels]. */
  void* y;
};

/** Puts the phases' results where they belong, and adds the bias. */
const char* join_phases(Type type, const JoinPhases& call, const Queue& queue);

/** Whether the device has what hopper.h describes, and the library code for it. */
bool has_copy_engine(const Queue& queue);

/** Makes the queue's device the current one of this library's CUDA runtime; null, or why not. */
const char* select_device(const Queue& queue);

/** Null if these kernels run on the device, else why not: a driver that is too old, a processor that is. */
const char* unusable(int device);

}  // namespace animatediff::cuda
