// JavaScript values to the structs of the C interface and back. Values were validated in TypeScript.
#pragma once

#include <napi.h>

#include <deque>
#include <string>
#include <vector>

#include "../engine/animatediff.h"
#include "library.h"

namespace addon {

/** Recipes with everything they point to. */
struct PlanStorage {
  std::deque<std::string> texts;
  std::deque<std::vector<int64_t>> shapes;
  std::deque<ad_source> sources;
  std::deque<std::vector<const ad_source*>> factors;
  std::deque<std::vector<ad_term>> terms;
  std::vector<ad_recipe> recipes;
};

/** Tensors with everything they point to. */
struct TensorStorage {
  std::deque<std::vector<uint8_t>> data;
  std::deque<std::vector<int64_t>> shapes;
  std::vector<ad_tensor> tensors;
};

/** Texts with everything they point to. */
struct PromptStorage {
  std::vector<int64_t> ids;
  std::vector<float> weights;
  std::vector<ad_blend> frames;
};

/** A request with everything it points to. */
struct RequestStorage {
  PromptStorage prompts;
  PromptStorage negatives;
  std::vector<uint64_t> seeds;
  ad_request request{};
};

void read_plan(const Napi::Array& recipes, PlanStorage& storage);
void read_tensors(const Napi::Array& tensors, TensorStorage& storage);
void read_request(const Napi::Object& object, RequestStorage& storage);
ad_scheduler read_scheduler(const Napi::Object& object);
ad_engine_options read_engine_options(const Napi::Object& object);
std::vector<int64_t> read_integers(const Napi::Value& value);

/** An Error with `status` and `detail`, which lib/native.ts turns into a typed one. */
Napi::Error make_error(Napi::Env env, ad_status status, const ad_error& error);

/** `{ name: { shape, data } }` with data copied into typed arrays, and frees the result. */
Napi::Value take_result(Napi::Env env, const EngineApi& api, ad_result* result);

}  // namespace addon
