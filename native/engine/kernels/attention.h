// Kernels of attention.cc; kernels.h says what they do.
#pragma once

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

int64_t packed_bytes(Element type, int64_t count, int64_t width);
void pack_keys(Element type, HeadRows<const void*> keys, int64_t width, void* packed);
void pack_values(Element type, HeadRows<const void*> values, int64_t width, void* packed);
int64_t attend_scratch(Element type, int64_t keys, int64_t width);
void attend(Element type, HeadRows<const void*> queries, const PackedHead& head, int64_t width, float scale,
            HeadRows<void*> output, void* scratch);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
