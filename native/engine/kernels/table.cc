// The kernels of one instruction set.
#include "activation.h"
#include "attention.h"
#include "finite.h"
#include "matrix.h"
#include "norm.h"
#include "tiled_winograd.h"
#include "winograd.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

extern const Kernels table;
const Kernels table{moments,        scale_rows,       layer_norm,      gated_gelu,    packed_bytes,
                    pack_keys,      pack_values,      attend_scratch,  attend,        winograd_weights,
                    winograd_tiles, winograd_outputs, product_scratch, multiply_rows, patch_weights,
                    patch_pixels,   patch_scratch,    patch_outputs,   finite_16,     finite_32};

}  // namespace animatediff::ANIMATEDIFF_KERNELS
