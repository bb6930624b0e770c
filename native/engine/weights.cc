#include "weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>
#include <c10/util/accumulate.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "dtype.h"
#include "error.h"
#include "lora.h"

namespace animatediff {
namespace {

constexpr size_t kBufferBytes = size_t{4} << 20;

// Largest difference between the sinusoid and its own copy in a file's element type, rounded up.
double position_tolerance(ad_dtype dtype) {
  switch (dtype) {
    case AD_BF16: return 2e-3 + 1e-4;
    case AD_F16: return 5e-4;
    default: return 1e-5;
  }
}

std::string shape_text(const int64_t* shape, int32_t dims) {
  std::string text = "[";
  for (int32_t i = 0; i < dims; ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int64_t element_count(const int64_t* shape, int32_t dims) { return c10::multiply_integers(shape, shape + dims); }

// Elements between the first and the last one that a strided tensor touches.
int64_t span_count(const ad_source& source) {
  int64_t last = 0;
  for (int32_t i = 0; i < source.dims; ++i) {
    if (source.shape[i] == 0) return 0;
    last += (source.shape[i] - 1) * (source.strides != nullptr ? source.strides[i] : 0);
  }
  return source.strides != nullptr ? last + 1 : element_count(source.shape, source.dims);
}

uint64_t tensor_bytes(const ad_source* source) {
  if (source == nullptr) return 0;
  return static_cast<uint64_t>(span_count(*source)) * c10::elementSize(scalar_type(source->dtype));
}

// Exponent bits all set means infinity or NaN; the loop vectorises.
template <typename Bits>
bool finite_bits(std::span<const Bits> values, Bits mask) {
  bool finite = true;
  for (const Bits value : values) finite &= (value & mask) != mask;
  return finite;
}

[[noreturn]] void not_finite(const ad_source& source, const ad_recipe& recipe, const char* reason) {
  throw EngineError(AD_WEIGHTS_NOT_FINITE, std::string(reason) + " in the tensor for " + recipe.target + " of " +
                                               source.file + ". The file is damaged; download it again.");
}

// Reads row-major elements through a small buffer, casting on the way.
void read_elements(const ad_source& source, SourceFiles& files, const ad_recipe& recipe, at::Tensor& target) {
  const auto type = scalar_type(source.dtype);
  const size_t width = c10::elementSize(type);
  const int64_t total = target.numel();
  if (type == target.scalar_type()) {
    files.read(source.file, source.offset, target.mutable_data_ptr(), static_cast<size_t>(total) * width);
    if (!all_finite(target)) not_finite(source, recipe, "NaN or infinity");
    return;
  }
  std::vector<char> buffer(std::min(kBufferBytes, static_cast<size_t>(total) * width));
  const auto chunk = static_cast<int64_t>(kBufferBytes / width);
  at::Tensor flat = target.view(-1);
  for (int64_t done = 0; done < total; done += chunk) {
    const int64_t count = std::min(chunk, total - done);
    files.read(source.file, source.offset + static_cast<uint64_t>(done) * width, buffer.data(),
               static_cast<size_t>(count) * width);
    const at::Tensor part = at::from_blob(buffer.data(), {count}, at::TensorOptions().dtype(type));
    if (!all_finite(part)) not_finite(source, recipe, "NaN or infinity");
    flat.narrow(0, done, count).copy_(part);
  }
  if (!all_finite(target)) not_finite(source, recipe, "A value beyond the range of the chosen dtype");
}

at::Tensor read_strided(const ad_source& source, SourceFiles& files) {
  const auto type = scalar_type(source.dtype);
  at::Tensor storage = at::empty({span_count(source)}, at::TensorOptions().dtype(type));
  files.read(source.file, source.offset, storage.mutable_data_ptr(), storage.nbytes());
  const auto dims = static_cast<size_t>(source.dims);
  return storage.as_strided({source.shape, dims}, {source.strides, dims});
}

at::Tensor read_shaped(const ad_source& source, at::IntArrayRef shape, const ad_recipe& recipe, SourceFiles& files,
                       c10::ScalarType dtype) {
  at::Tensor target = at::empty(shape, at::TensorOptions().dtype(dtype));
  if (target.numel() == 0) return target;
  if (source.strides == nullptr) {
    read_elements(source, files, recipe, target);
    return target;
  }
  target.copy_(read_strided(source, files).reshape(shape));
  if (!all_finite(target)) not_finite(source, recipe, "NaN or infinity");
  return target;
}

at::Tensor read_source(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype) {
  const ad_source& source = *recipe.source;
  const at::IntArrayRef shape(recipe.shape, static_cast<size_t>(recipe.dims));
  if (element_count(source.shape, source.dims) != c10::multiply_integers(shape)) {
    throw EngineError(AD_WEIGHTS_SHAPE, std::string(recipe.target) + " needs shape " +
                                            shape_text(recipe.shape, recipe.dims) + " but " + source.file + " has " +
                                            shape_text(source.shape, source.dims) + ".");
  }
  return read_shaped(source, shape, recipe, files, dtype);
}

// Base, terms and factor meet in float32, so that the result is rounded once.
at::Tensor merged(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype) {
  at::Tensor value = read_source(recipe, files, at::kFloat);
  if (recipe.term_count > 0) add_terms(recipe, files, value);
  if (recipe.factor != 1.0) value.mul_(recipe.factor);
  value = value.to(dtype);
  if (!all_finite(value)) {
    throw EngineError(AD_WEIGHTS_NOT_FINITE, std::string("With the scales of LoRAs and motion module ") +
                                                 recipe.target + " has values beyond the range of " +
                                                 c10::toString(dtype) + ". Give smaller ones.");
  }
  return value;
}

// The table of a recipe with the rows that are appended to it.
at::Tensor with_rows(const at::Tensor& table, const ad_recipe& recipe, SourceFiles& files) {
  std::vector<at::Tensor> parts{table};
  for (const ad_source* source : std::span(recipe.appended, static_cast<size_t>(recipe.appended_count))) {
    const at::Tensor rows = read_tensor(*source, recipe, files, table.scalar_type());
    if (table.dim() != 2 || rows.dim() < 1 || rows.dim() > 2 || rows.size(-1) != table.size(1)) {
      throw EngineError(AD_WEIGHTS_SHAPE, std::string(recipe.target) + " takes rows of another width than " +
                                              source->file + " has: " + shape_text(source->shape, source->dims) + ".");
    }
    parts.push_back(rows.reshape({-1, table.size(1)}));
  }
  return at::cat(parts, 0);
}

at::Tensor position_encoding(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype) {
  if (recipe.dims != 3) throw EngineError(AD_WEIGHTS_SHAPE, std::string(recipe.target) + " needs three dimensions.");
  const at::Tensor exact = sinusoidal_positions(recipe.shape[1], recipe.shape[2]);
  if (recipe.source == nullptr) return exact.to(dtype);
  const at::Tensor stored = read_source(recipe, files, at::kFloat);
  const bool same = (stored - exact).abs().max().item<double>() <= position_tolerance(recipe.source->dtype);
  return (same ? exact : stored).to(dtype);
}

}  // namespace

SourceFiles::~SourceFiles() {
  for (const auto& [file, descriptor] : descriptors_) ::close(descriptor);
}

int SourceFiles::open(const std::string& file) {
  const auto known = descriptors_.find(file);
  if (known != descriptors_.end()) return known->second;
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw EngineError(AD_FILE_NOT_FOUND, "Cannot open " + file + ": " + std::strerror(errno) + ".");
  }
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
  descriptors_.emplace(file, descriptor);
  return descriptor;
}

void SourceFiles::read(const std::string& file, uint64_t offset, void* target, size_t bytes) {
  const int descriptor = open(file);
  auto* out = static_cast<char*>(target);
  while (bytes > 0) {
    const ssize_t count = ::pread(descriptor, out, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw EngineError(AD_FILE_CORRUPT, "Cannot read " + file + ": " + std::strerror(errno) + ".");
    }
    if (count == 0) {
      throw EngineError(AD_FILE_CORRUPT, file + " ends at byte " + std::to_string(offset) + ", " +
                                             std::to_string(bytes) + " bytes too early. Download it again.");
    }
    out += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<size_t>(count);
  }
}

uint64_t source_bytes(const ad_recipe& recipe) {
  uint64_t bytes = tensor_bytes(recipe.source);
  for (const ad_term& term : std::span(recipe.terms, static_cast<size_t>(recipe.term_count))) {
    bytes += tensor_bytes(term.alpha) + tensor_bytes(term.magnitude);
    for (int32_t i = 0; i < term.factor_count; ++i) bytes += tensor_bytes(term.factors[i]);
  }
  for (int32_t i = 0; i < recipe.appended_count; ++i) bytes += tensor_bytes(recipe.appended[i]);
  return bytes;
}

at::Tensor read_tensor(const ad_source& source, const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype) {
  return read_shaped(source, {source.shape, static_cast<size_t>(source.dims)}, recipe, files, dtype);
}

at::Tensor sinusoidal_positions(int64_t length, int64_t channels) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const at::Tensor frequency =
      at::exp(at::arange(0, channels, 2, options) * (-std::log(10000.0) / static_cast<double>(channels)));
  const at::Tensor angle = at::arange(length, options).unsqueeze(1) * frequency;
  return at::stack({at::sin(angle), at::cos(angle)}, 2).reshape({1, length, channels});
}

bool all_finite(const at::Tensor& tensor) {
  const auto count = static_cast<size_t>(tensor.numel());
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return finite_bits<uint32_t>({static_cast<const uint32_t*>(tensor.const_data_ptr()), count}, 0x7f800000U);
    case at::kHalf:
      return finite_bits<uint16_t>({static_cast<const uint16_t*>(tensor.const_data_ptr()), count}, 0x7c00U);
    case at::kBFloat16:
      return finite_bits<uint16_t>({static_cast<const uint16_t*>(tensor.const_data_ptr()), count}, 0x7f80U);
    case at::kDouble:
    case at::kFloat8_e4m3fn:
    case at::kFloat8_e5m2: return at::isfinite(tensor.to(at::kFloat)).all().item<bool>();
    default: return true;
  }
}

at::Tensor read_parameter(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype, c10::Device device) {
  at::Tensor host;
  switch (recipe.kind) {
    case AD_COPY:
      host = recipe.term_count > 0 || recipe.factor != 1.0 ? merged(recipe, files, dtype)
                                                           : read_source(recipe, files, dtype);
      break;
    case AD_POSITION_ENCODING: host = position_encoding(recipe, files, dtype); break;
  }
  if (recipe.appended_count > 0) host = with_rows(host, recipe, files);
  return device.is_cpu() ? host : host.to(device);
}

}  // namespace animatediff
