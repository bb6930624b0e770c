// Layers of the CPU in sizes that the small models of the other tests do not reach, against LibTorch's in float64.

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Generator.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <torch/script.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../engine/cpu/layers.h"
#include "../engine/cpu/packing.h"
#include "../engine/cpu/parallel.h"
#include "../engine/cpu/patches.h"
#include "../engine/cpu/residual.h"
#include "../engine/cpu/tiled_winograd.h"
#include "../engine/cpu/tiles.h"
#include "../engine/cpu/winograd.h"
#include "../engine/kernels/kernels.h"
#include "check.h"

namespace cpu = animatediff::cpu;

namespace {

at::Tensor wide(const at::Tensor& x) { return x.to(at::kDouble); }

double error(const at::Tensor& actual, const at::Tensor& expected) {
  return (wide(actual) - expected).abs().max().item<double>();
}

// Rounding of the result, and of sums that are some ten times as large.
double tolerance(at::ScalarType type, const at::Tensor& expected) {
  return (type == at::kBFloat16 ? 1.0 / 256 : 3e-5) * expected.abs().max().item<double>();
}

at::Tensor picture(int64_t images, int64_t channels, int64_t height, int64_t width, at::ScalarType type) {
  return at::randn({images, channels, height, width}).to(type).contiguous(at::MemoryFormat::ChannelsLast);
}

torch::jit::Module layer(const std::string& name, const at::Tensor& weight, const at::Tensor& bias) {
  torch::jit::Module module(c10::QualifiedName("__torch__.test." + name));
  module.register_parameter("weight", weight, false);
  module.register_parameter("bias", bias, false);
  return module;
}

torch::jit::Module convolution(const std::string& name, const at::Tensor& weight, const at::Tensor& bias,
                               int64_t stride) {
  torch::jit::Module module = layer(name, weight, bias);
  const auto pair = [&](const char* key, int64_t value) {
    const auto type = c10::TupleType::create({c10::IntType::get(), c10::IntType::get()});
    module.register_attribute(key, type, c10::ivalue::Tuple::create(value, value));
  };
  pair("kernel_size", weight.size(2));
  pair("stride", stride);
  pair("padding", weight.size(2) / 2);
  return module;
}

/** Processors that multiply tiles of bfloat16 do so in all layers, */
bool multiplies_tiles(at::ScalarType type) {
  return type == at::kBFloat16 && animatediff::kernel_set().multiplies_tiles;
}

/** and those that multiply pairs of it in large enough convolutions; the others transform to float32. */
bool takes_patches(at::ScalarType type) {
  return type == at::kBFloat16 && animatediff::kernel_set().multiplies_bfloat16;
}

/** Where transformed pixels and weights are rounded to bfloat16 too, more is lost. */
double tolerance(const at::Tensor& x, const cpu::Part& part, const at::Tensor& expected) {
  const at::Tensor weight = part.tensor("weight");
  const bool rounded = cpu::is_tiled(weight) && cpu::patches_pay(x, cpu::outputs_of(weight));
  return (rounded ? 2 : 1) * tolerance(x.scalar_type(), expected);
}

// Parts of the outputs at a time (1280), panels that four do not divide (160), edges that tiles do not.
void convolutions_agree(at::ScalarType type) {
  const struct {
    int64_t images, inputs, outputs, height, width;
  } shapes[] = {{7, 128, 160, 13, 22}, {32, 1280, 1280, 4, 4}, {1, 192, 128, 64, 40}};
  int number = 0;
  for (const auto& shape : shapes) {
    const at::Tensor x = picture(shape.images, shape.inputs, shape.height, shape.width, type);
    const at::Tensor weight = (at::randn({shape.outputs, shape.inputs, 3, 3}) / 100).to(type);
    const at::Tensor bias = at::randn({shape.outputs}).to(type);
    const at::Tensor added = picture(shape.images, shape.outputs, shape.height, shape.width, type);
    const at::Tensor expected = at::conv2d(wide(x), wide(weight), wide(bias), 1, 1);
    const torch::jit::Module module =
        convolution("C" + std::to_string(number++) + c10::toString(type), weight, bias, 1);
    const cpu::Part part(module._ivalue());
    cpu::pack(part);
    EXPECT(cpu::has_winograd_order(part.tensor("weight")) != takes_patches(type));
    EXPECT(cpu::is_tiled(part.tensor("weight")) == takes_patches(type));
    EXPECT(at::equal(cpu::unpacked(part.tensor("weight"), weight.sizes()), weight));
    const at::Tensor plain = cpu::convolution(x, part, {});
    EXPECT(plain.scalar_type() == type && plain.is_contiguous(at::MemoryFormat::ChannelsLast));
    const double most = tolerance(x, part, expected);
    EXPECT_NEAR(error(plain, expected), 0, most);
    EXPECT_NEAR(error(cpu::convolution(x, part, added), expected + wide(added)), 0, 2 * most);
  }
}

// A small picture has the weight packed for oneDNN, a large one transformed again; always the same weight.
void weights_follow_the_size_of_pictures(at::ScalarType type) {
  const at::Tensor weight = (at::randn({128, 128, 3, 3}) / 100).to(type);
  const at::Tensor bias = at::randn({128}).to(type);
  const torch::jit::Module module = convolution(std::string("F") + c10::toString(type), weight, bias, 1);
  const cpu::Part part(module._ivalue());
  cpu::pack(part);
  for (const int64_t side : {64, 8, 64, 14}) {
    const at::Tensor x = picture(1, 128, side, side, type);
    const at::Tensor expected = at::conv2d(wide(x), wide(weight), wide(bias), 1, 1);
    const at::Tensor y = cpu::convolution(x, part, {});
    EXPECT_NEAR(error(y, expected), 0, tolerance(x, part, expected));
    EXPECT(cpu::has_winograd_order(part.tensor("weight")) == (side == 64 && !takes_patches(type)));
    EXPECT(cpu::is_tiled(part.tensor("weight")) == (multiplies_tiles(type) || (side == 64 && takes_patches(type))));
    EXPECT(at::equal(cpu::unpacked(part.tensor("weight"), weight.sizes()), weight));
  }
}

// Doubled where that has few products, doubled with too few tiles for it, and to an odd height.
void upsampled_pictures_are_convolved(at::ScalarType type) {
  const struct {
    int64_t side, height;
  } sizes[] = {{34, 68}, {8, 16}, {34, 67}, {34, 68}};
  const at::Tensor weight = (at::randn({160, 128, 3, 3}) / 100).to(type);
  const at::Tensor bias = at::randn({160}).to(type);
  const torch::jit::Module module = convolution(std::string("U") + c10::toString(type), weight, bias, 1);
  const cpu::Part part(module._ivalue());
  cpu::pack(part);
  for (const auto& size : sizes) {
    const at::Tensor x = picture(2, 128, size.side, size.side, type);
    const at::Tensor larger = at::upsample_nearest2d(wide(x), {size.height, 2 * size.side});
    const at::Tensor expected = at::conv2d(larger, wide(weight), wide(bias), 1, 1);
    const at::Tensor y = cpu::upsampled_convolution(x, part, size.height, 2 * size.side);
    EXPECT(y.scalar_type() == type && y.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_NEAR(error(y, expected), 0, tolerance(x, part, expected));
  }
}

// Whatever this processor would choose: several parts (32 images of 1280 channels), strides, edges.
void patches_are_convolutions(at::ScalarType type) {
  const struct {
    int64_t images, inputs, outputs, height, width, stride;
  } shapes[] = {{3, 16, 24, 4, 5, 1}, {2, 16, 8, 8, 7, 2}, {1, 8, 8, 1, 1, 1}, {33, 1280, 32, 8, 8, 1}};
  for (const auto& shape : shapes) {
    const at::Tensor x = picture(shape.images, shape.inputs, shape.height, shape.width, type);
    const at::Tensor weight = (at::randn({shape.outputs, shape.inputs, 3, 3}) / 100).to(type);
    const at::Tensor bias = at::randn({shape.outputs}).to(type);
    const at::Tensor expected = at::conv2d(wide(x), wide(weight), wide(bias), shape.stride, 1);
    const at::Tensor matrix = cpu::patch_matrix(weight);
    const at::Tensor y = cpu::patch_convolution(x, matrix, bias, shape.stride, {});
    EXPECT(y.scalar_type() == type && y.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_NEAR(error(y, expected), 0, tolerance(type, expected));
    const at::Tensor added = picture(shape.images, shape.outputs, y.size(2), y.size(3), type);
    const at::Tensor sum = expected + wide(added);
    EXPECT_NEAR(error(cpu::patch_convolution(x, matrix, bias, shape.stride, added), sum), 0, 2 * tolerance(type, sum));
    EXPECT(at::equal(cpu::unpacked(matrix, weight.sizes()), weight));
  }
}

// Whether or not this processor multiplies tiles: rows that no tile is filled by, depths in parts, all strides.
void tiles_are_linear_layers() {
  const struct {
    int64_t rows, inputs, outputs;
  } shapes[] = {{1, 32, 32}, {77, 96, 64}, {1037, 1280, 352}};
  for (const auto& shape : shapes) {
    const at::Tensor x = at::randn({1, shape.rows, shape.inputs}).to(at::kBFloat16);
    const at::Tensor weight = (at::randn({shape.outputs, shape.inputs}) / 30).to(at::kBFloat16);
    const at::Tensor bias = at::randn({shape.outputs}).to(at::kBFloat16);
    const at::Tensor added = at::randn({1, shape.rows, shape.outputs}).to(at::kBFloat16);
    const at::Tensor expected = at::linear(wide(x), wide(weight), wide(bias));
    const at::Tensor packed = cpu::tiled(weight);
    EXPECT(at::equal(cpu::untiled(packed), weight));
    EXPECT_NEAR(error(cpu::tiled_product(x, packed, bias, {}), expected), 0, tolerance(at::kBFloat16, expected));
    EXPECT_NEAR(error(cpu::tiled_product(x, packed, {}, added), expected - wide(bias) + wide(added)), 0,
                2 * tolerance(at::kBFloat16, expected));
    const at::Tensor gate = cpu::tiled(weight, true);
    EXPECT(cpu::is_gated(gate) && at::equal(cpu::untiled(gate), weight));
    const auto halves = expected.chunk(2, 2);
    const at::Tensor gated = halves[0] * at::gelu(halves[1]);
    EXPECT_NEAR(error(cpu::tiled_product(x, gate, bias, {}), gated), 0, tolerance(at::kBFloat16, gated));
  }
}

void tiles_are_convolutions() {
  const struct {
    int64_t images, inputs, outputs, height, width, stride;
  } shapes[] = {{3, 32, 64, 5, 16, 1}, {1, 64, 32, 70, 32, 2}, {2, 320, 32, 33, 48, 1}};
  for (const auto& shape : shapes) {
    const at::Tensor x = picture(shape.images, shape.inputs, shape.height, shape.width, at::kBFloat16);
    const at::Tensor weight = (at::randn({shape.outputs, shape.inputs, 3, 3}) / 50).to(at::kBFloat16);
    const at::Tensor bias = at::randn({shape.outputs}).to(at::kBFloat16);
    const at::Tensor expected = at::conv2d(wide(x), wide(weight), wide(bias), shape.stride, 1);
    const at::Tensor packed = cpu::tiled(cpu::patch_matrix(weight));
    EXPECT(cpu::has_rows_of_tiles(x, shape.stride));
    EXPECT(at::equal(cpu::unpacked(packed, weight.sizes()), weight));
    const at::Tensor y = cpu::tiled_convolution(x, packed, bias, shape.stride, {});
    EXPECT(y.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_NEAR(error(y, expected), 0, tolerance(at::kBFloat16, expected));
    const at::Tensor added = picture(shape.images, shape.outputs, y.size(2), y.size(3), at::kBFloat16);
    EXPECT_NEAR(error(cpu::tiled_convolution(x, packed, bias, shape.stride, added), expected + wide(added)), 0,
                2 * tolerance(at::kBFloat16, expected));
    EXPECT_NEAR(error(cpu::patch_convolution(x, packed, bias, shape.stride, {}), expected), 0,
                tolerance(at::kBFloat16, expected));
  }
}

// Whether or not this processor multiplies tiles: edges that patches lie over, blocks in part, weights in parts.
void patches_of_tiles_are_convolutions() {
  const struct {
    int64_t images, inputs, outputs, height, width;
  } shapes[] = {{3, 32, 64, 5, 7}, {2, 96, 160, 21, 18}, {1, 2560, 1280, 6, 4}};
  for (const auto& shape : shapes) {
    const at::Tensor x = picture(shape.images, shape.inputs, shape.height, shape.width, at::kBFloat16);
    const at::Tensor weight = (at::randn({shape.outputs, shape.inputs, 3, 3}) / 50).to(at::kBFloat16);
    const at::Tensor bias = at::randn({shape.outputs}).to(at::kBFloat16);
    const at::Tensor expected = at::conv2d(wide(x), wide(weight), wide(bias), 1, 1);
    const at::Tensor packed = cpu::tiled(cpu::patch_matrix(weight));
    const at::Tensor y = cpu::tiled_winograd(x, packed, bias, {});
    EXPECT(y.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_NEAR(error(y, expected), 0, 2 * tolerance(at::kBFloat16, expected));
    // One rounding of the output is 1.7e-3 at most; bench/NOTES.md expects 2.6 times that of these.
    EXPECT((wide(y) - expected).norm().item<double>() < 4.5e-3 * expected.norm().item<double>());
    const at::Tensor added = picture(shape.images, shape.outputs, y.size(2), y.size(3), at::kBFloat16);
    EXPECT_NEAR(error(cpu::tiled_winograd(x, packed, bias, added), expected + wide(added)), 0,
                3 * tolerance(at::kBFloat16, expected));
    const at::Tensor larger = at::upsample_nearest2d(wide(x), {2 * shape.height, 2 * shape.width});
    const at::Tensor convolved = at::conv2d(larger, wide(weight), wide(bias), 1, 1);
    const at::Tensor doubled = cpu::tiled_winograd(x, packed, bias, {}, true);
    EXPECT_NEAR(error(doubled, convolved), 0, 2 * tolerance(at::kBFloat16, convolved));
    EXPECT((wide(doubled) - convolved).norm().item<double>() < 6e-3 * convolved.norm().item<double>());
  }
}

void other_convolutions_stay_direct() {
  for (const auto& [outputs, kernel, stride] : {std::tuple{4, 3, 1}, std::tuple{128, 3, 2}, std::tuple{128, 1, 1}}) {
    const at::Tensor weight = at::randn({outputs, 128, kernel, kernel});
    const torch::jit::Module module =
        convolution("D" + std::to_string(outputs * 100 + kernel * 10 + stride), weight, at::randn({outputs}), stride);
    const cpu::Part part(module._ivalue());
    cpu::pack(part);
    EXPECT(part.tensor("weight").is_mkldnn());
  }
}

// More tokens than one part holds, and not a multiple of it.
void feed_forward_is_the_same_in_parts(at::ScalarType type) {
  const int64_t width = 32;
  const at::Tensor up = (at::randn({8 * width, width}) / 6).to(type);
  const at::Tensor up_bias = at::randn({8 * width}).to(type);
  const at::Tensor down = (at::randn({width, 4 * width}) / 11).to(type);
  const at::Tensor down_bias = at::randn({width}).to(type);
  const std::string suffix = c10::toString(type);
  torch::jit::Module gate(c10::QualifiedName("__torch__.test.Gate" + suffix));
  gate.register_module("proj", layer("Up" + suffix, up, up_bias));
  torch::jit::Module net(c10::QualifiedName("__torch__.test.Net" + suffix));
  net.register_module("0", gate);
  net.register_module("2", layer("Down" + suffix, down, down_bias));
  torch::jit::Module layers(c10::QualifiedName("__torch__.test.Layers" + suffix));
  layers.register_module("net", net);
  const cpu::Part part(layers._ivalue());
  cpu::pack(part["net"]["0"]["proj"], true);
  EXPECT(cpu::is_gated(part["net"]["0"]["proj"].tensor("weight")) == multiplies_tiles(type));
  EXPECT(at::equal(cpu::unpacked(part["net"]["0"]["proj"].tensor("weight"), up.sizes()), up));
  cpu::pack(part["net"]["2"]);
  const int64_t tokens = 1111 * at::get_num_threads();
  const at::Tensor x = at::randn({2, tokens, width}).to(type);
  const at::Tensor added = at::randn({2, tokens, width}).to(type);
  const auto halves = at::linear(wide(x), wide(up), wide(up_bias)).chunk(2, 2);
  const at::Tensor expected = at::linear(halves[0] * at::gelu(halves[1]), wide(down), wide(down_bias)) + wide(added);
  const at::Tensor y = cpu::feed_forward(part, x, added);
  EXPECT(y.sizes() == x.sizes());
  EXPECT_NEAR(error(y, expected), 0, (type == at::kBFloat16 ? 4 : 1) * tolerance(type, expected));
}

// LibTorch's threads are found, every item is done once, and what a part throws arrives.
void loops_run_on_the_threads_of_libtorch() {
  EXPECT(cpu::has_threads());
  at::set_num_threads(3);
  std::vector<int> done(1000);
  std::set<std::thread::id> threads;
  std::mutex mutex;
  cpu::parallel_for(0, 1000, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++done[static_cast<size_t>(i)];
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT(std::count(done.begin(), done.end(), 1) == 1000);
  EXPECT(threads.size() == 3);
  bool thrown = false;
  try {
    cpu::parallel_for(0, 100, 1, [](int64_t, int64_t end) {
      if (end == 100) throw std::runtime_error("the last part");
    });
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  EXPECT(thrown);
  int calls = 0;
  cpu::parallel_for(0, 10, 100, [&](int64_t begin, int64_t end) { calls += static_cast<int>(end - begin); });
  EXPECT(calls == 10);
}

}  // namespace

int main() {
  at::manual_seed(1);
  EXPECT(cpu::packs(at::kFloat) && !cpu::packs(at::kHalf));
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    if (!cpu::packs(type)) continue;
    convolutions_agree(type);
    weights_follow_the_size_of_pictures(type);
    upsampled_pictures_are_convolved(type);
    patches_are_convolutions(type);
    feed_forward_is_the_same_in_parts(type);
  }
  tiles_are_linear_layers();
  tiles_are_convolutions();
  patches_of_tiles_are_convolutions();
  other_convolutions_stay_direct();
  loops_run_on_the_threads_of_libtorch();
  return check::finish("cpu layers");
}
