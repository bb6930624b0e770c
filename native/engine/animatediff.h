/**
 * C interface of libanimatediff, the engine behind the Node addon.
 *
 * Everything runs on the calling thread and blocks. An engine may be used by one thread at a time. Functions that
 * can fail return an ad_status and, on anything but AD_OK, fill the ad_error. Pointers in requests are borrowed for
 * the duration of the call. No exception leaves this interface.
 */
#ifndef ANIMATEDIFF_H
#define ANIMATEDIFF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AD_API __attribute__((visibility("default")))

/** Raised when a struct or function below changes; glue and engine must agree. */
#define AD_ABI_VERSION 8

typedef enum ad_status {
  AD_OK = 0,
  AD_INVALID_ARGUMENT,
  AD_FILE_NOT_FOUND,
  AD_FILE_CORRUPT,
  AD_WEIGHTS_MISSING,
  AD_WEIGHTS_SHAPE,
  AD_WEIGHTS_NOT_FINITE,
  AD_NOT_FINITE,
  AD_OUT_OF_MEMORY,
  AD_DEVICE_UNAVAILABLE,
  AD_ABORTED,
  AD_OUTPUT,
  AD_ENGINE_ERROR
} ad_status;

/** What went wrong: one sentence for users, and LibTorch's own text with its backtrace for bug reports. */
typedef struct ad_error {
  char message[2048];
  char detail[4096];
} ad_error;

typedef struct ad_engine ad_engine;

typedef enum ad_device_kind { AD_CPU = 0, AD_CUDA = 1 } ad_device_kind;

typedef enum ad_dtype {
  AD_F64 = 0,
  AD_F32,
  AD_F16,
  AD_BF16,
  AD_F8_E4M3,
  AD_F8_E5M2,
  AD_I64,
  AD_I32,
  AD_I16,
  AD_I8,
  AD_U8,
  AD_BOOL
} ad_dtype;

/** The networks of a pipeline. */
typedef enum ad_role { AD_TEXT_ENCODER = 0, AD_UNET, AD_VAE_DECODER, AD_VAE_ENCODER, AD_ROLE_COUNT } ad_role;

/** A device that can be used. Bytes are 0 where they are not known. */
typedef struct ad_device_info {
  ad_device_kind kind;
  int32_t index;
  char name[256];
  uint64_t total_bytes;
  uint64_t free_bytes;
} ad_device_info;

/** What is given up first where memory is short. Results do not depend on it but for rounding. */
typedef enum ad_memory_mode {
  /** The fastest way that fits into what is free. */
  AD_MEMORY_AUTO = 0,
  /** The least memory that does not cost much: the UNet on one half of guidance at a time, one frame decoded at a
   * time, networks on the device only while they are needed. */
  AD_MEMORY_LOW,
  /** The fastest way; pieces get smaller only after memory ran out. */
  AD_MEMORY_HIGH
} ad_memory_mode;

/** Networks that wait on the host; on the CPU always AD_OFFLOAD_NONE. */
typedef enum ad_offload {
  AD_OFFLOAD_NONE = 0,
  /** Text encoder and VAE, but while they run. */
  AD_OFFLOAD_IDLE,
  /** All; the UNet's parameters are copied to the device one by one, each time they are used. */
  AD_OFFLOAD_SEQUENTIAL
} ad_offload;

typedef struct ad_engine_options {
  ad_device_kind device;
  int32_t device_index;
  /** Element type of the networks: AD_F32, AD_F16 or AD_BF16. */
  ad_dtype dtype;
  /** CPU threads of operators; 0 leaves LibTorch's choice. */
  int32_t threads;
  /** Not 0: networks run as their archives say, without packed weights and own kernels; to compare and to measure. */
  int32_t plain;
  ad_memory_mode memory;
} ad_engine_options;

/** Row-major tensor in the caller's memory. */
typedef struct ad_tensor {
  const void* data;
  ad_dtype dtype;
  const int64_t* shape;
  int32_t dims;
} ad_tensor;

/** Bytes of a tensor in a file. */
typedef struct ad_source {
  const char* file;
  uint64_t offset;
  ad_dtype dtype;
  const int64_t* shape;
  /** Elements; null when row-major. */
  const int64_t* strides;
  int32_t dims;
} ad_source;

typedef enum ad_recipe_kind {
  /** Cast the source and view it in the target's shape, which has as many elements. */
  AD_COPY = 0,
  /** Position table [1, length, channels]: the sinusoid, or the source where it differs from it. */
  AD_POSITION_ENCODING
} ad_recipe_kind;

/** What an adapter adds to a parameter [out, in, ...], and its factors in order; those in brackets may be null. */
typedef enum ad_term_kind {
  /** up @ down, or mid with both where there is a mid (CP decomposition of a convolution): up, down, [mid]. */
  AD_LOW_RANK = 0,
  /** LoHa, (w1_a @ w1_b) * (w2_a @ w2_b); with cores of convolutions: w1_a, w1_b, w2_a, w2_b, [t1], [t2]. */
  AD_HADAMARD,
  /** LoKr, w1 (x) w2, each whole or as two factors: [w1], [w1_a], [w1_b], [w2], [w2_a], [w2_b], [t2]. */
  AD_KRONECKER,
  /** The difference itself: diff. */
  AD_DIFFERENCE
} ad_term_kind;

/**
 * One adapter's part in one parameter: scale * ratio * alpha * delta, from the file's values in float32. With
 * magnitudes (DoRA) it is scale * (magnitude * V / |V| - base) for V = base + ratio * alpha * delta.
 */
typedef struct ad_term {
  ad_term_kind kind;
  const ad_source* const* factors;
  int32_t factor_count;
  double scale;
  /** 1 / rank where there is an alpha. */
  double ratio;
  /** One number of any type; null: 1. */
  const ad_source* alpha;
  /** As many numbers as the parameter has along `magnitude_axis`, over which |V| is not summed; null: no DoRA. */
  const ad_source* magnitude;
  int32_t magnitude_axis;
} ad_term;

/** How one parameter of a graph is filled. */
typedef struct ad_recipe {
  ad_recipe_kind kind;
  const char* target;
  const int64_t* shape;
  int32_t dims;
  /** Null for a position encoding without a table in the file. */
  const ad_source* source;
  /** Added in float32 to the source's values, which are then rounded once; for AD_COPY only. */
  const ad_term* terms;
  int32_t term_count;
  /** Multiplies the sum in float32, before it is rounded; 1 leaves the bytes alone. For AD_COPY only. */
  double factor;
  /** Rows below those of the source, [n, width] or [width] each: textual inversions; for AD_COPY only. */
  const ad_source* const* appended;
  int32_t appended_count;
} ad_recipe;

typedef enum ad_spacing { AD_LEADING = 0, AD_LINSPACE, AD_TRAILING } ad_spacing;
typedef enum ad_betas { AD_LINEAR = 0, AD_SCALED_LINEAR } ad_betas;
typedef enum ad_prediction { AD_EPSILON = 0, AD_V_PREDICTION, AD_SAMPLE } ad_prediction;

typedef enum ad_scheduler_kind {
  /** arXiv 2010.02502. */
  AD_DDIM = 0,
  /** Algorithm 2 of arXiv 2206.00364 without churn. */
  AD_EULER,
  /** Euler steps with as much noise as DDPM. */
  AD_EULER_ANCESTRAL,
  /** DPM-Solver++(2M), algorithm 2 of arXiv 2211.01095. */
  AD_DPM_SOLVER_2M,
  /** Multistep latent consistency sampling, algorithm 3 of arXiv 2310.04378. */
  AD_LCM,
  /** Pseudo linear multistep (PLMS), arXiv 2202.09778. */
  AD_PNDM
} ad_scheduler_kind;

/** A sampler of the network's ordinary or stochastic differential equation; fields that a kind does not name are not
 * read. */
typedef struct ad_scheduler {
  ad_scheduler_kind kind;
  ad_betas betas;
  double beta_start;
  double beta_end;
  /** All but AD_LCM. */
  ad_spacing spacing;
  int32_t steps;
  int32_t steps_offset;
  /** AD_DDIM, AD_PNDM: alpha of the last step is 1, else alphas_cumprod[0]. */
  int32_t set_alpha_to_one;
  ad_prediction prediction;
  /** AD_DDIM: 0 is deterministic, 1 adds as much noise as DDPM. */
  double eta;
  /** AD_EULER, AD_DPM_SOLVER_2M: noise levels of equation (5) of arXiv 2206.00364. */
  int32_t karras_sigmas;
  /** AD_LCM: steps of the schedule that the network was distilled on. */
  int32_t original_inference_steps;
} ad_scheduler;

typedef enum ad_phase { AD_PHASE_TEXT = 0, AD_PHASE_SAMPLE, AD_PHASE_DECODE, AD_PHASE_WEIGHTS } ad_phase;

/**
 * Reports progress. `pictures`, when given, holds uint8 [frames, h, w, 3] and is valid during the call only: a preview
 * in AD_PHASE_SAMPLE, the frames up to `done` that the last report had not in AD_PHASE_DECODE.
 */
typedef void (*ad_progress)(void* context, ad_phase phase, uint64_t done, uint64_t total, const ad_tensor* pictures);

/** Something that was changed on the way and that users should know: a stable code and a sentence. */
typedef void (*ad_notice)(void* context, const char* code, const char* message);

/** Polled between parameters, sampling steps and pieces of decoding; anything but 0 ends the call with AD_ABORTED. */
typedef int32_t (*ad_cancelled)(void* context);

/** All run on the calling thread; each may be null. */
typedef struct ad_callbacks {
  void* context;
  ad_progress progress;
  ad_notice notice;
  ad_cancelled cancelled;
} ad_callbacks;

/** How the text of a frame between two key frames is made from theirs. */
typedef enum ad_interpolation { AD_LERP = 0, AD_SLERP } ad_interpolation;

/** The text of one frame: on the way from one text to another, 0 at the first and 1 at the second. */
typedef struct ad_blend {
  int32_t from;
  int32_t to;
  double position;
} ad_blend;

/** Tokenised texts of one side of the guidance. */
typedef struct ad_prompts {
  /** Token ids [texts, chunks, tokens]; each chunk is one sequence of the text encoder. */
  const int64_t* ids;
  /** Weights of the tokens [texts, chunks, tokens]; null: all 1. */
  const float* weights;
  int32_t texts;
  /** The text of every frame [batch, frames]; null: text i is that of clip i, for all of its frames. */
  const ad_blend* frames;
} ad_prompts;

typedef struct ad_request {
  int32_t batch;
  int32_t frames;
  /** Pixels; multiples of the VAE's scale factor. */
  int32_t height;
  int32_t width;
  int32_t vae_scale_factor;
  double vae_scaling_factor;
  int32_t latent_channels;
  ad_prompts prompts;
  /** Used when guidance_scale > 1. */
  ad_prompts negatives;
  /** Chunks of every text, and tokens of every chunk. */
  int32_t chunks;
  int32_t tokens;
  /** Last layers of the text encoder that are left out. */
  int32_t layers_skipped;
  ad_interpolation interpolation;
  double guidance_scale;
  /** Share of the steps with guidance, 0 to 1; the others, at the end, take the conditional prediction alone. */
  double guidance_end;
  /** The whole UNet runs in every such step, its last layer alone in the others; 1: in every step. */
  int32_t deep_cache;
  ad_scheduler scheduler;
  /** One per clip. */
  const uint64_t* seeds;
  /** GroupNorm statistics of the ResNets over frames (v1, original). */
  int32_t norm_over_frames;
  /** GroupNorm statistics of the motion modules over frames (diffusers). */
  int32_t motion_norm_over_frames;
  int32_t preview;
  /** Frames come with the reports of decoding, too. */
  int32_t deliver_frames;
  /** Also return the final latents and the decoded pictures in float32. */
  int32_t keep_floats;
  /** Bytes that the host can still give to this process; 0: not known. Read when the device is the CPU. */
  uint64_t host_free;
} ad_request;

/** Named tensors that a call returned; free with ad_result_free. */
typedef struct ad_result ad_result;

/** Bytes held by an engine. */
typedef struct ad_memory {
  /** Of its networks, with those that other engines hold too. */
  uint64_t weights;
  /** Most that the device's allocator has held in this process; 0 on the CPU. */
  uint64_t device_peak;
  /** Most that large tensors on the host have taken in this process. */
  uint64_t host_peak;
  /** What both hold now. */
  uint64_t device_held;
  uint64_t host_held;
  /** How the last clips were made, 0 before: rows of the batch that the UNet computed at once and all rows, frames
   * decoded at once, and what waited on the host. */
  int32_t rows_at_once;
  int32_t rows;
  int32_t frames_decoded;
  ad_offload offload;
} ad_memory;

/** What LibTorch was asked for, on all threads of the process. */
typedef struct ad_work {
  /** Calls through LibTorch's dispatcher, those that operators make among them included. */
  uint64_t operators;
  /** Tensors that were given memory on the host, and their bytes. */
  uint64_t allocations;
  uint64_t bytes;
} ad_work;

AD_API int32_t ad_abi_version(void);
/** Version of the LibTorch whose headers the engine was compiled with, such as "2.13.0". */
AD_API const char* ad_libtorch_version(void);
/** Instruction set that LibTorch's CPU kernels use here, such as "AVX512". */
AD_API const char* ad_cpu_capability(void);
/** What was counted since the last call; counting goes on from zero, or ends, as it is when a process begins. */
AD_API ad_status ad_count_work(int32_t enabled, ad_work* counted, ad_error* error);
/** Writes up to `capacity` devices, the CPU first, and returns how many there are. */
AD_API size_t ad_devices(ad_device_info* devices, size_t capacity);

/** CUDA devices that answer, without opening a context on any. */
AD_API int32_t ad_cuda_device_count(void);

/**
 * Empty if this package's own CUDA kernels run on device `index`, else why not; LibTorch's operators do all the work
 * then. The first question opens a context on the device.
 */
AD_API const char* ad_cuda_kernels_problem(int32_t index);

/** 1 where the processor multiplies bfloat16 itself, so that it is faster than float32; else 0. */
AD_API int32_t ad_cpu_multiplies_bfloat16(void);

/**
 * Large tensors on the host, of all engines of the process, take at most so many bytes; what would exceed them fails
 * with AD_OUT_OF_MEMORY. 0: as many as the system gives.
 */
AD_API void ad_limit_host_memory(uint64_t bytes);

AD_API ad_status ad_engine_create(const ad_engine_options* options, ad_engine** engine, ad_error* error);
AD_API void ad_engine_destroy(ad_engine* engine);

/**
 * Loads a weight-free graph for `role` and fills every one of its parameters. What another engine of the process has
 * from the same file for the same device and element type, without LoRAs, is held together with it until one of them
 * changes.
 */
AD_API ad_status ad_engine_bind(ad_engine* engine, ad_role role, const char* graph, const ad_recipe* recipes,
                                size_t count, const ad_callbacks* callbacks, ad_error* error);
/**
 * Fills some parameters of a network that is bound, anew from their files. Those before a failure keep their new
 * values: bind them again to what they were.
 */
AD_API ad_status ad_engine_rebind(ad_engine* engine, ad_role role, const ad_recipe* recipes, size_t count,
                                  const ad_callbacks* callbacks, ad_error* error);
/** Writes all networks with their weights and `metadata` (JSON) as one TorchScript archive. */
AD_API ad_status ad_engine_bake(ad_engine* engine, const char* path, const char* metadata, ad_error* error);
/**
 * Prompts to clips: `frames` uint8 [batch, frames, height, width, 3]; with keep_floats `text`, `latents`, `pictures`.
 * `text` float32 [2 * batch or batch, chunks * tokens, width], the negative half first; with blends of frames
 * [… * frames, …].
 */
AD_API ad_status ad_engine_generate(ad_engine* engine, const ad_request* request, const ad_callbacks* callbacks,
                                    ad_result** result, ad_error* error);
/**
 * Runs one network: `output` float32. Integers follow the tensors in the order of the graph's forward(): text
 * encoder (ids; layers skipped), UNet (sample, timestep, text; norm_over_frames, motion_norm_over_frames), VAE (x).
 */
AD_API ad_status ad_engine_forward(ad_engine* engine, ad_role role, const ad_tensor* inputs, size_t count,
                                   const int64_t* integers, size_t integer_count, ad_result** result, ad_error* error);
AD_API ad_status ad_engine_memory(ad_engine* engine, ad_memory* memory, ad_error* error);

/** Timesteps float32 of a scheduler as `timesteps`: one per evaluation of the network, which are `steps` (AD_PNDM: one
 * more). */
AD_API ad_status ad_scheduler_timesteps(const ad_scheduler* scheduler, ad_result** result, ad_error* error);

/**
 * A scheduler alone: from `sample` [batch, …] (standard normal, scaled to the first noise level here) through the
 * given network outputs [timesteps, batch, …], both float32, to `samples` [timesteps, batch, …] after each step and
 * `inputs` of the same shape, what the network would have been given. Noise comes from `seeds`, one per clip.
 */
AD_API ad_status ad_scheduler_run(const ad_scheduler* scheduler, const ad_tensor* sample, const ad_tensor* outputs,
                                  const uint64_t* seeds, ad_result** result, ad_error* error);

AD_API size_t ad_result_count(const ad_result* result);
AD_API const char* ad_result_name(const ad_result* result, size_t index);
AD_API ad_tensor ad_result_tensor(const ad_result* result, size_t index);
AD_API void ad_result_free(ad_result* result);

#ifdef __cplusplus
}
#endif

#endif
