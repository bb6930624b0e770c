// Reading parameters from files: casts, strides, refusals.

#include "../engine/weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include "../engine/error.h"
#include "check.h"

using animatediff::Destination;
using animatediff::read_parameter;
using animatediff::SourceFiles;

namespace {

const std::string& folder() {
  static const std::string path = [] {
    const auto made = std::filesystem::temp_directory_path() / ("animatediff-weights-" + std::to_string(::getpid()));
    std::filesystem::create_directories(made);
    return made.string();
  }();
  return path;
}

std::string write(const std::string& name, const at::Tensor& tensor) {
  const std::string path = folder() + "/" + name;
  std::ofstream out(path, std::ios::binary);
  out.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  return path;
}

struct Case {
  std::string file;
  std::vector<int64_t> shape;
  std::vector<int64_t> source_shape;
  ad_dtype dtype = AD_F32;
  uint64_t offset = 0;
  std::vector<int64_t> strides = {};
  ad_recipe_kind kind = AD_COPY;
  double factor = 1.0;
};

at::Tensor read(const Case& example, c10::ScalarType dtype = at::kFloat) {
  const ad_source source{example.file.c_str(),
                         example.offset,
                         example.dtype,
                         example.source_shape.data(),
                         example.strides.empty() ? nullptr : example.strides.data(),
                         static_cast<int32_t>(example.source_shape.size())};
  const ad_recipe recipe{
      example.kind, "target", example.shape.data(), static_cast<int32_t>(example.shape.size()), &source,
      nullptr,      0,        example.factor};
  SourceFiles files;
  Destination host(at::kCPU);
  const at::Tensor value = read_parameter(recipe, files, dtype, host);
  // As on the way to a device, in buffers that few elements fit into.
  Destination buffered(at::kCPU, 4099);
  EXPECT(read_parameter(recipe, files, dtype, buffered).equal(value));
  return value;
}

at::Tensor numbers(int64_t count) { return at::arange(count, at::TensorOptions().dtype(at::kFloat)); }

void every_type_is_cast() {
  const at::Tensor values = numbers(12);
  EXPECT(read({write("f32", values), {12}, {12}}).equal(values));
  EXPECT(read({write("f16", values.to(at::kHalf)), {3, 4}, {12}, AD_F16}).equal(values.view({3, 4})));
  EXPECT(read({write("bf16", values.to(at::kBFloat16)), {12}, {12, 1, 1}, AD_BF16}).equal(values));
  EXPECT(read({write("f64", values.to(at::kDouble)), {12}, {12}, AD_F64}).equal(values));
  EXPECT(read({write("f8", values.to(at::kFloat8_e4m3fn)), {12}, {12}, AD_F8_E4M3}).equal(values));
  EXPECT(read({write("f32", values), {12}, {12}}, at::kHalf).scalar_type() == at::kHalf);
}

void tensors_larger_than_the_buffer_are_whole() {
  // A prime, so that no part is like another; as large as a float16 counts.
  const at::Tensor values = (numbers(5'000'000) % 2039).to(at::kHalf);
  const Case large{write("large", values), {5'000'000}, {5'000'000}, AD_F16};
  EXPECT(read(large).equal(values.to(at::kFloat)));
  EXPECT(read(large, at::kBFloat16).equal(values.to(at::kBFloat16)));
  EXPECT(read(large, at::kHalf).equal(values));
}

// In whatever part, and on whatever thread reads it.
void damage_of_large_tensors_is_refused() {
  const at::Tensor values = numbers(2'000'000);
  EXPECT_STATUS(read({write("short", values), {2'000'001}, {2'000'001}}), AD_FILE_CORRUPT);
  EXPECT_STATUS(read({write("short", values), {4'000'000}, {4'000'000}}), AD_FILE_CORRUPT);
  for (const int64_t place : {0, 1'200'000, 1'999'999}) {
    const at::Tensor bad = values.clone();
    bad[place] = std::numeric_limits<float>::infinity();
    EXPECT_STATUS(read({write("bad", bad), {2'000'000}, {2'000'000}}), AD_WEIGHTS_NOT_FINITE);
  }
}

void offsets_and_strides_are_followed() {
  const at::Tensor values = numbers(12);
  const std::string file = write("strided", values);
  EXPECT(read({file, {4}, {4}, AD_F32, 8 * sizeof(float)}).equal(values.narrow(0, 8, 4)));
  EXPECT(read({file, {3, 4}, {3, 4}, AD_F32, 0, {1, 3}}).equal(values.view({4, 3}).t()));
}

void damage_is_refused() {
  const std::string file = write("short", numbers(4));
  EXPECT_STATUS(read({file, {8}, {8}}), AD_FILE_CORRUPT);
  EXPECT_STATUS(read({file, {2}, {4}}), AD_WEIGHTS_SHAPE);
  EXPECT_STATUS(read({folder() + "/none", {4}, {4}}), AD_FILE_NOT_FOUND);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    at::Tensor values = numbers(9);
    values[7] = bad;
    EXPECT_STATUS(read({write("bad", values), {9}, {9}}), AD_WEIGHTS_NOT_FINITE);
    EXPECT_STATUS(read({write("bad", values.to(at::kHalf)), {9}, {9}, AD_F16}), AD_WEIGHTS_NOT_FINITE);
    EXPECT_STATUS(read({write("bad", values.to(at::kBFloat16)), {9}, {9}, AD_BF16}), AD_WEIGHTS_NOT_FINITE);
  }
  EXPECT_STATUS(read({write("wide", numbers(4) * 1e5), {4}, {4}}, at::kHalf), AD_WEIGHTS_NOT_FINITE);
}

void positions_are_the_sinusoid_unless_the_file_differs() {
  const at::Tensor exact = animatediff::sinusoidal_positions(24, 320);
  EXPECT_NEAR(exact[0][1][0].item().toDouble(), std::sin(1.0), 1e-6);
  EXPECT_NEAR(exact[0][23][1].item().toDouble(), std::cos(23.0), 1e-6);
  EXPECT_NEAR(exact[0][5][2].item().toDouble(), std::sin(5.0 * std::exp(-2.0 * std::log(10000.0) / 320.0)), 1e-6);
  const Case rounded{write("pe", exact.to(at::kHalf)), {1, 24, 320}, {1, 24, 320}, AD_F16, 0, {}, AD_POSITION_ENCODING};
  EXPECT(read(rounded).equal(exact));
  const at::Tensor stretched = animatediff::sinusoidal_positions(48, 320).narrow(1, 24, 24).contiguous();
  const Case other{write("pe2", stretched), {1, 24, 320}, {1, 24, 320}, AD_F32, 0, {}, AD_POSITION_ENCODING};
  EXPECT(read(other).equal(stretched));
}

void a_factor_multiplies_before_rounding() {
  const std::string file = write("factor", numbers(12));
  Case example{file, {12}, {12}};
  example.factor = 0.3;
  EXPECT(read(example).equal(numbers(12) * 0.3));
  EXPECT(read(example, at::kHalf).equal((numbers(12) * 0.3).to(at::kHalf)));
  example.factor = 0.0;
  EXPECT(read(example).equal(at::zeros({12})));
  example.factor = 1e38;
  EXPECT_STATUS(read(example), AD_WEIGHTS_NOT_FINITE);
}

void buffers_are_written_in_turn() {
  Destination place(at::kCPU, 40);
  std::vector<const void*> buffers;
  std::vector<int64_t> firsts;
  const auto write = [&](int64_t first, const at::Tensor& piece) {
    EXPECT(piece.is_contiguous() && piece.dim() == 1 && piece.scalar_type() == at::kFloat);
    buffers.push_back(piece.const_data_ptr());
    firsts.push_back(first);
    piece.copy_(numbers(piece.numel()) + static_cast<double>(first));
  };
  EXPECT(place.make({7, 4}, at::kFloat, 4, write).equal(numbers(28).view({7, 4})));
  EXPECT((firsts == std::vector<int64_t>{0, 8, 16, 24}));
  EXPECT(buffers[0] != buffers[1] && buffers[1] != buffers[2] && buffers[0] != buffers[2] && buffers[3] == buffers[0]);
  // A unit that no buffer holds makes one grow.
  EXPECT(place.make({2, 100}, at::kFloat, 100, write).equal(numbers(200).view({2, 100})));
  EXPECT(firsts.size() == 6 && firsts.back() == 100);
  EXPECT(place.make({0, 4}, at::kFloat, 4, write).numel() == 0 && firsts.size() == 6);
  const at::Tensor turned = numbers(30).view({5, 6}).t();
  EXPECT(place.put(turned).equal(turned));
  Destination host(at::kCPU);
  EXPECT(host.put(turned).is_same(turned));
  EXPECT(host.make({7, 4}, at::kFloat, 4, write).equal(numbers(28).view({7, 4})) && firsts.size() == 7);
}

}  // namespace

int main() {
  buffers_are_written_in_turn();
  a_factor_multiplies_before_rounding();
  every_type_is_cast();
  tensors_larger_than_the_buffer_are_whole();
  offsets_and_strides_are_followed();
  damage_is_refused();
  damage_of_large_tensors_is_refused();
  positions_are_the_sinusoid_unless_the_file_differs();
  std::filesystem::remove_all(folder());
  return check::finish("weights");
}
