#include "attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "../kernels/kernels.h"
#include "element.h"
#include "parallel.h"

namespace animatediff::cpu {
namespace {

// Where heads lie in tensors [.., heads * width] of equal shape and layout.
struct Heads {
  explicit Heads(const at::Tensor& x, int64_t count)
      : type(element(x)), bytes(x.element_size()), total(x.size(2)), width(x.size(2) / count) {}

  Element type;
  int64_t bytes;
  int64_t total;
  int64_t width;

  [[nodiscard]] float scale() const { return 1.0F / std::sqrt(static_cast<float>(width)); }

  [[nodiscard]] HeadRows<const void*> read(const at::Tensor& x, int64_t offset, int64_t stride, int64_t count) const {
    return {static_cast<const char*>(x.const_data_ptr()) + offset * bytes, stride, count};
  }

  [[nodiscard]] HeadRows<void*> write(const at::Tensor& x, int64_t offset, int64_t stride, int64_t count) const {
    return {static_cast<char*>(x.mutable_data_ptr()) + offset * bytes, stride, count};
  }
};

// Memory of one thread for packed keys, packed values and what `attend` needs.
class Workspace {
 public:
  Workspace(const Heads& heads, int64_t keys)
      : packed_(kernels().packed_bytes(heads.type, keys, heads.width)),
        memory_(static_cast<size_t>(2 * aligned(packed_) + kernels().attend_scratch(heads.type, keys, heads.width))) {}

  void* keys() { return memory_.data(); }
  void* values() { return memory_.data() + aligned(packed_); }
  void* scratch() { return memory_.data() + 2 * aligned(packed_); }

 private:
  static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

  int64_t packed_;
  std::vector<char> memory_;
};

void attend_within(const Heads& heads, Workspace& workspace, HeadRows<const void*> q, HeadRows<const void*> k,
                   HeadRows<const void*> v, HeadRows<void*> out) {
  kernels().pack_keys(heads.type, k, heads.width, workspace.keys());
  kernels().pack_values(heads.type, v, heads.width, workspace.values());
  kernels().attend(heads.type, q, {workspace.keys(), workspace.values(), k.count}, heads.width, heads.scale(), out,
                   workspace.scratch());
}

}  // namespace

at::Tensor self_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads) {
  const Heads head(q, heads);
  const int64_t count = q.size(1);
  at::Tensor out = at::empty_like(q);
  // A single picture has fewer heads than there are threads; then several of them share one head's queries.
  const int64_t items = q.size(0) * heads;
  const int64_t parts = std::clamp<int64_t>((at::get_num_threads() + items - 1) / items, 1, count);
  const int64_t each = (count + parts - 1) / parts;
  parallel_for(0, items * parts, 1, [&](int64_t begin, int64_t end) {
    Workspace workspace(head, count);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % parts * each;
      const int64_t rows = std::min(each, count - first);
      if (rows <= 0) continue;
      const int64_t frame = item / parts / heads;
      const int64_t offset = frame * count * head.total + item / parts % heads * head.width;
      const int64_t own = offset + first * head.total;
      attend_within(head, workspace, head.read(q, own, head.total, rows), head.read(k, offset, head.total, count),
                    head.read(v, offset, head.total, count), head.write(out, own, head.total, rows));
    }
  });
  return out;
}

at::Tensor temporal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads,
                              int64_t frames) {
  const Heads head(q, heads);
  const int64_t pixels = q.size(1);
  const int64_t stride = pixels * head.total;
  at::Tensor out = at::empty_like(q);
  parallel_for(0, q.size(0) / frames * pixels, 8, [&](int64_t begin, int64_t end) {
    Workspace workspace(head, frames);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item / pixels * frames * stride + item % pixels * head.total;
      for (int64_t i = 0; i < heads; ++i) {
        const int64_t offset = first + i * head.width;
        attend_within(head, workspace, head.read(q, offset, stride, frames), head.read(k, offset, stride, frames),
                      head.read(v, offset, stride, frames), head.write(out, offset, stride, frames));
      }
    }
  });
  return out;
}

PackedText pack_text(const at::Tensor& k, const at::Tensor& v, int64_t heads) {
  const Heads head(k, heads);
  const int64_t count = k.size(1);
  const int64_t bytes = kernels().packed_bytes(head.type, count, head.width);
  const auto options = at::TensorOptions().dtype(at::kByte);
  PackedText text{at::empty({k.size(0) * heads, bytes}, options), at::empty({k.size(0) * heads, bytes}, options),
                  count};
  for (int64_t item = 0; item < k.size(0) * heads; ++item) {
    const int64_t offset = item / heads * count * head.total + item % heads * head.width;
    kernels().pack_keys(head.type, head.read(k, offset, head.total, count), head.width,
                        text.keys[item].mutable_data_ptr());
    kernels().pack_values(head.type, head.read(v, offset, head.total, count), head.width,
                          text.values[item].mutable_data_ptr());
  }
  return text;
}

at::Tensor text_attention(const at::Tensor& q, const PackedText& text, int64_t heads) {
  const Heads head(q, heads);
  const int64_t count = q.size(1);
  const int64_t shared = q.size(0) * heads / text.keys.size(0);
  const int64_t bytes = text.keys.size(1);
  at::Tensor out = at::empty_like(q);
  parallel_for(0, q.size(0) * heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<char> scratch(static_cast<size_t>(kernels().attend_scratch(head.type, text.count, head.width)));
    for (int64_t item = begin; item < end; ++item) {
      const int64_t frame = item / heads;
      const int64_t context = (frame / shared * heads + item % heads) * bytes;
      const int64_t offset = frame * count * head.total + item % heads * head.width;
      const PackedHead packed{static_cast<const char*>(text.keys.const_data_ptr()) + context,
                              static_cast<const char*>(text.values.const_data_ptr()) + context, text.count};
      kernels().attend(head.type, head.read(q, offset, head.total, count), packed, head.width, head.scale(),
                       head.write(out, offset, head.total, count), scratch.data());
    }
  });
  return out;
}

}  // namespace animatediff::cpu
