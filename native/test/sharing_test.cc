// Parameters that networks share: by which key, what a change of one does to the other, and what goes when both are
// dropped. Networks with the modules of engine/cuda/ run on the CPU here.

#include "../engine/memory/shared_parameters.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <vector>

#include "../engine/error.h"
#include "../engine/graph.h"
#include "check.h"

using namespace animatediff;

namespace {

SharedParameters& shared() { return SharedParameters::of_process(); }

const std::string kGraph = "native/graphs/tiny-unet_motion.pt";
const std::string kQuery = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight";
const std::string kKey = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight";
const std::string kConvolution = "mid_block.resnets.0.conv1.weight";

using Specialise = std::function<void(Graph&)>;

/** As the engine binds one: what others have is adopted, the rest is made and offered. */
Graph network(const std::string& base, const Specialise& specialise) {
  at::manual_seed(3);
  Graph graph = Graph::load(kGraph);
  std::vector<std::string> made;
  const torch::jit::Module plain = graph.plain();
  const auto fill = [&](const std::string& name, at::IntArrayRef shape) {
    const double scale = shape.size() > 1 ? 0.1 : 0.5;
    const at::Tensor value = at::randn(shape) * scale;  // drawn in any case, so that all networks draw the same
    if (graph.adopt(name, base + name)) return;
    graph.set(name, value);
    made.push_back(name);
  };
  for (const auto& parameter : plain.named_parameters()) fill(parameter.name, parameter.value.sizes());
  for (const auto& buffer : plain.named_buffers()) fill(buffer.name, buffer.value.sizes());
  graph.require_complete();
  specialise(graph);
  for (const std::string& name : made) graph.offer(name, base + name);
  return graph;
}

at::Tensor run(Graph& graph) {
  at::manual_seed(4);
  return graph({at::randn({2, 4, 3, 8, 16}), at::full({2}, 481.0, at::kFloat), at::randn({6, 77, 32}), true, false});
}

size_t holders(const std::string& key) {
  const at::Tensor tensor = shared().find(key);
  return tensor.defined() ? tensor.use_count() - 1 : 0;
}

std::vector<int64_t> shape_of(const std::string& name) {
  const torch::jit::Module archive = Graph::load(kGraph).plain();
  for (const auto& parameter : archive.named_parameters()) {
    if (parameter.name == name) return parameter.value.sizes().vec();
  }
  return {};
}

/** As setLoras does. */
void change(Graph& graph, const std::string& name) {
  at::manual_seed(5);
  graph.set(name, at::randn(shape_of(name)) * 0.1);
  graph.pack();
}

void a_change_is_for_one_network_only(const std::string& base, const Specialise& specialise) {
  Graph first = network(base, specialise);
  const at::Tensor expected = run(first);
  Graph second = network(base, specialise);
  for (const std::string& name : {kQuery, kKey, kConvolution}) EXPECT(holders(base + name) == 2);
  EXPECT(run(second).equal(expected));
  change(second, kQuery);
  change(second, kConvolution);
  EXPECT(run(first).equal(expected));
  Graph alone = network(base + "alone ", specialise);
  EXPECT(run(alone).equal(expected));
  change(alone, kQuery);
  change(alone, kConvolution);
  const at::Tensor changed = run(alone);
  EXPECT(!changed.equal(expected) && run(second).equal(changed));
  EXPECT(holders(base + kQuery) == 1 && holders(base + kConvolution) == 1);
  // Nobody finds a base's parameter in one that was changed.
  EXPECT(!shared().find(base + "alone " + kQuery).defined());

  for (const std::string& name : {kQuery, kConvolution}) EXPECT(second.adopt(name, base + name));
  second.pack();
  EXPECT(run(second).equal(expected) && run(first).equal(expected));
  EXPECT(holders(base + kConvolution) == 2);

  first = Graph();
  EXPECT(run(second).equal(expected) && holders(base + kConvolution) == 1);
  second = Graph();
  EXPECT(holders(base + kConvolution) == 0);
}

void packed(Graph& graph) { graph.specialise_for_cpu(); }
void for_device(Graph& graph) { graph.specialise_for_cuda(); }

void recorded_places_stay_while_one_network_holds_them() {
  Graph graph = network("places ", for_device);
  const std::string key = "places " + kKey;
  const at::Tensor ones = at::ones(shape_of(kKey));
  const auto* place = shared().find(key).const_data_ptr<float>();
  {
    const at::Tensor held = shared().find(key);  // as another network does
    graph.set(kKey, ones);
    EXPECT(place[0] != 1.0F);
    EXPECT(graph.adopt(kKey, key));
  }
  graph.set(kKey, ones);
  EXPECT(place[0] == 1.0F);
  EXPECT(!graph.adopt(kKey, key));
}

void conversion_is_for_one_network_only() {
  Graph first = network("types ", [](Graph&) {});
  Graph second = network("types ", [](Graph&) {});
  const at::Tensor expected = run(first);
  second.to(at::kBFloat16);
  EXPECT(second.dtype() == at::kBFloat16 && first.dtype() == at::kFloat);
  EXPECT(run(first).equal(expected));
}

void forms_are_made_once() {
  const at::Tensor one = shared().offer("forms", at::ones({4}));
  const at::Tensor other = shared().offer("forms", at::ones({4}));
  EXPECT(other.is_same(one));
  int made = 0;
  const auto make = [&] {
    ++made;
    return one * 2;
  };
  const at::Tensor doubled = shared().in_form(one, "doubled", make);
  EXPECT(shared().in_form(one, "doubled", make).is_same(doubled) && made == 1);
  EXPECT(shared().in_form(doubled, "doubled again", make).defined() && made == 2);
  EXPECT(!shared().in_form(at::ones({4}), "doubled", make).is_same(doubled) && made == 3);
  EXPECT(shared().find("forms").defined());
  EXPECT(!shared().withdraw(one, 1) && shared().withdraw(one, 2));
  EXPECT(shared().find("forms").is_same(doubled));
  EXPECT(shared().withdraw(at::ones({4}), 0));
}

void what_is_dropped_is_forgotten() {
  std::vector<at::Tensor> kept;
  for (int i = 0; i < 5000; ++i) {
    const at::Tensor tensor = shared().offer("dropped " + std::to_string(i), at::ones({1}) * i);
    if (i % 100 == 0) kept.push_back(tensor);
  }
  for (int i = 0; i < 5000; ++i) {
    const at::Tensor found = shared().find("dropped " + std::to_string(i));
    EXPECT(found.defined() == (i % 100 == 0));
    if (found.defined()) EXPECT(found.item<float>() == static_cast<float>(i));
  }
}

std::string key_of(const ad_recipe& recipe, c10::ScalarType dtype = at::kHalf, const std::string& layout = "cpu") {
  SourceFiles files;
  return parameter_key(recipe, files, dtype, at::kCPU, layout).value_or("");
}

void keys_tell_everything_apart() {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("animatediff-sharing-" + std::to_string(::getpid()))).string();
  const auto write = [&](const char* text) { std::ofstream(path, std::ios::binary) << text; };
  write("0123456789abcdef");
  const std::vector<int64_t> shape{2, 3};
  const std::vector<int64_t> turned{1, 2};
  ad_source source{path.c_str(), 0, AD_F16, shape.data(), nullptr, 2};
  ad_recipe recipe{};
  recipe.target = "a.weight";
  recipe.shape = shape.data();
  recipe.dims = 2;
  recipe.source = &source;
  recipe.factor = 1;
  std::set<std::string> keys{key_of(recipe)};
  EXPECT(key_of(recipe) == *keys.begin() && !keys.begin()->empty());
  const auto differs = [&](const std::string& key) { EXPECT(!key.empty() && keys.insert(key).second); };
  differs(key_of(recipe, at::kFloat));
  differs(key_of(recipe, at::kHalf, "cuda:0"));
  source.offset = 2;
  differs(key_of(recipe));
  source.dtype = AD_BF16;
  differs(key_of(recipe));
  source.strides = turned.data();
  differs(key_of(recipe));
  recipe.factor = 0.5;
  differs(key_of(recipe));
  recipe.target = "b.weight";
  differs(key_of(recipe));
  recipe.dims = 1;
  differs(key_of(recipe));
  recipe.kind = AD_POSITION_ENCODING;
  differs(key_of(recipe));
  // Another file under the same name, of the same size.
  std::filesystem::remove(path);
  write("0123456789abcdeF");
  differs(key_of(recipe));
  recipe.source = nullptr;
  differs(key_of(recipe));
  recipe.source = &source;
  recipe.term_count = 1;
  EXPECT(key_of(recipe).empty());
  recipe.term_count = 0;
  recipe.appended_count = 1;
  EXPECT(key_of(recipe).empty());
  recipe.appended_count = 0;
  std::filesystem::remove(path);
  EXPECT_STATUS(key_of(recipe), AD_FILE_NOT_FOUND);
}

}  // namespace

int main() {
  const c10::InferenceMode inference;
  a_change_is_for_one_network_only("plain ", [](Graph&) {});
  a_change_is_for_one_network_only("packed ", packed);
  a_change_is_for_one_network_only("device ", for_device);
  recorded_places_stay_while_one_network_holds_them();
  conversion_is_for_one_network_only();
  forms_are_made_once();
  what_is_dropped_is_forgotten();
  keys_tell_everything_apart();
  return check::finish("sharing");
}
