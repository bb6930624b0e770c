#include "convert.h"

#include <cstring>
#include <memory>

namespace addon {
namespace {

double number(const Napi::Object& object, const char* key) { return object.Get(key).ToNumber().DoubleValue(); }

int32_t integer(const Napi::Object& object, const char* key) { return object.Get(key).ToNumber().Int32Value(); }

int32_t flag(const Napi::Object& object, const char* key) { return object.Get(key).ToBoolean().Value() ? 1 : 0; }

const char* keep(std::deque<std::string>& texts, const Napi::Value& value) {
  return texts.emplace_back(value.ToString().Utf8Value()).c_str();
}

std::vector<int64_t> widen(const Napi::Value& value) {
  const auto ids = value.As<Napi::Int32Array>();
  return {ids.Data(), ids.Data() + ids.ElementLength()};
}

/** Null for anything but an object. */
const ad_source* read_source(const Napi::Value& value, PlanStorage& storage) {
  if (!value.IsObject()) return nullptr;
  const auto object = value.As<Napi::Object>();
  const auto& shape = storage.shapes.emplace_back(read_integers(object.Get("shape")));
  const int64_t* strides = nullptr;
  if (object.Get("strides").IsArray()) {
    strides = storage.shapes.emplace_back(read_integers(object.Get("strides"))).data();
  }
  const Napi::Value file = object.Get("file");
  return &storage.sources.emplace_back(ad_source{
      keep(storage.texts, file), static_cast<uint64_t>(object.Get("offset").ToNumber().Int64Value()),
      static_cast<ad_dtype>(integer(object, "dtype")), shape.data(), strides, static_cast<int32_t>(shape.size())});
}

ad_term read_term(const Napi::Object& object, PlanStorage& storage) {
  const auto array = object.Get("factors").As<Napi::Array>();
  auto& factors = storage.factors.emplace_back();
  for (uint32_t i = 0; i < array.Length(); ++i) factors.push_back(read_source(array.Get(i), storage));
  ad_term term{};
  term.kind = static_cast<ad_term_kind>(integer(object, "kind"));
  term.factors = factors.data();
  term.factor_count = static_cast<int32_t>(factors.size());
  term.scale = number(object, "scale");
  term.ratio = number(object, "ratio");
  term.alpha = read_source(object.Get("alpha"), storage);
  term.magnitude = read_source(object.Get("magnitude"), storage);
  term.magnitude_axis = integer(object, "magnitudeAxis");
  return term;
}

ad_prompts read_prompts(const Napi::Object& object, PromptStorage& storage) {
  storage.ids = widen(object.Get("ids"));
  if (object.Get("weights").IsTypedArray()) {
    const auto weights = object.Get("weights").As<Napi::Float32Array>();
    storage.weights.assign(weights.Data(), weights.Data() + weights.ElementLength());
  }
  if (object.Get("frames").IsArray()) {
    const auto frames = object.Get("frames").As<Napi::Array>();
    for (uint32_t i = 0; i < frames.Length(); ++i) {
      const auto frame = frames.Get(i).As<Napi::Object>();
      storage.frames.push_back({integer(frame, "from"), integer(frame, "to"), number(frame, "position")});
    }
  }
  return {storage.ids.data(), storage.weights.empty() ? nullptr : storage.weights.data(), integer(object, "texts"),
          storage.frames.empty() ? nullptr : storage.frames.data()};
}

template <typename Array>
Napi::Value copy_elements(Napi::Env env, const ad_tensor& tensor, size_t count, size_t width) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, count * width);
  if (count > 0) std::memcpy(buffer.Data(), tensor.data, count * width);
  return Array::New(env, count, buffer, 0);
}

Napi::Value tensor_value(Napi::Env env, const ad_tensor& tensor) {
  Napi::Array shape = Napi::Array::New(env, static_cast<size_t>(tensor.dims));
  size_t count = 1;
  for (int32_t i = 0; i < tensor.dims; ++i) {
    shape.Set(static_cast<uint32_t>(i), static_cast<double>(tensor.shape[i]));
    count *= static_cast<size_t>(tensor.shape[i]);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("shape", shape);
  switch (tensor.dtype) {
    case AD_F32: object.Set("data", copy_elements<Napi::Float32Array>(env, tensor, count, 4)); break;
    case AD_I64: object.Set("data", copy_elements<Napi::BigInt64Array>(env, tensor, count, 8)); break;
    default: object.Set("data", copy_elements<Napi::Uint8Array>(env, tensor, count, 1)); break;
  }
  return object;
}

}  // namespace

std::vector<int64_t> read_integers(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<int64_t> integers;
  integers.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) integers.push_back(array.Get(i).ToNumber().Int64Value());
  return integers;
}

void read_plan(const Napi::Array& recipes, PlanStorage& storage) {
  storage.recipes.reserve(recipes.Length());
  for (uint32_t i = 0; i < recipes.Length(); ++i) {
    const auto object = recipes.Get(i).As<Napi::Object>();
    const auto& shape = storage.shapes.emplace_back(read_integers(object.Get("shape")));
    ad_recipe recipe{};
    recipe.kind = static_cast<ad_recipe_kind>(integer(object, "kind"));
    recipe.target = keep(storage.texts, object.Get("target"));
    recipe.shape = shape.data();
    recipe.dims = static_cast<int32_t>(shape.size());
    recipe.source = read_source(object.Get("source"), storage);
    recipe.factor = number(object, "factor");
    if (object.Get("terms").IsArray()) {
      const auto array = object.Get("terms").As<Napi::Array>();
      auto& terms = storage.terms.emplace_back();
      for (uint32_t j = 0; j < array.Length(); ++j)
        terms.push_back(read_term(array.Get(j).As<Napi::Object>(), storage));
      recipe.terms = terms.data();
      recipe.term_count = static_cast<int32_t>(terms.size());
    }
    if (object.Get("appended").IsArray()) {
      const auto array = object.Get("appended").As<Napi::Array>();
      auto& appended = storage.factors.emplace_back();
      for (uint32_t j = 0; j < array.Length(); ++j) appended.push_back(read_source(array.Get(j), storage));
      recipe.appended = appended.data();
      recipe.appended_count = static_cast<int32_t>(appended.size());
    }
    storage.recipes.push_back(recipe);
  }
}

void read_tensors(const Napi::Array& tensors, TensorStorage& storage) {
  for (uint32_t i = 0; i < tensors.Length(); ++i) {
    const auto object = tensors.Get(i).As<Napi::Object>();
    const auto array = object.Get("data").As<Napi::TypedArray>();
    const auto* const bytes = static_cast<const uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    const auto& data = storage.data.emplace_back(bytes, bytes + array.ByteLength());
    const auto& shape = storage.shapes.emplace_back(read_integers(object.Get("shape")));
    const ad_dtype dtype = array.TypedArrayType() == napi_bigint64_array ? AD_I64 : AD_F32;
    storage.tensors.push_back({data.data(), dtype, shape.data(), static_cast<int32_t>(shape.size())});
  }
}

ad_scheduler read_scheduler(const Napi::Object& object) {
  ad_scheduler scheduler{};
  scheduler.kind = static_cast<ad_scheduler_kind>(integer(object, "kind"));
  scheduler.betas = static_cast<ad_betas>(integer(object, "betas"));
  scheduler.beta_start = number(object, "betaStart");
  scheduler.beta_end = number(object, "betaEnd");
  scheduler.spacing = static_cast<ad_spacing>(integer(object, "spacing"));
  scheduler.steps = integer(object, "steps");
  scheduler.steps_offset = integer(object, "stepsOffset");
  scheduler.set_alpha_to_one = flag(object, "setAlphaToOne");
  scheduler.prediction = static_cast<ad_prediction>(integer(object, "prediction"));
  scheduler.eta = number(object, "eta");
  scheduler.karras_sigmas = flag(object, "karrasSigmas");
  scheduler.original_inference_steps = integer(object, "originalInferenceSteps");
  return scheduler;
}

ad_engine_options read_engine_options(const Napi::Object& object) {
  ad_engine_options options{};
  options.device = static_cast<ad_device_kind>(integer(object, "device"));
  options.device_index = integer(object, "deviceIndex");
  options.dtype = static_cast<ad_dtype>(integer(object, "dtype"));
  options.threads = integer(object, "threads");
  options.plain = integer(object, "plain");
  options.memory = static_cast<ad_memory_mode>(integer(object, "memory"));
  return options;
}

void read_request(const Napi::Object& object, RequestStorage& storage) {
  const auto seeds = object.Get("seeds").As<Napi::BigUint64Array>();
  storage.seeds.assign(seeds.Data(), seeds.Data() + seeds.ElementLength());
  ad_request& request = storage.request;
  request.batch = integer(object, "batch");
  request.frames = integer(object, "frames");
  request.height = integer(object, "height");
  request.width = integer(object, "width");
  request.vae_scale_factor = integer(object, "vaeScaleFactor");
  request.vae_scaling_factor = number(object, "vaeScalingFactor");
  request.latent_channels = integer(object, "latentChannels");
  request.prompts = read_prompts(object.Get("prompts").As<Napi::Object>(), storage.prompts);
  request.negatives = read_prompts(object.Get("negatives").As<Napi::Object>(), storage.negatives);
  request.chunks = integer(object, "chunks");
  request.tokens = integer(object, "tokens");
  request.layers_skipped = integer(object, "layersSkipped");
  request.interpolation = static_cast<ad_interpolation>(integer(object, "interpolation"));
  request.guidance_scale = number(object, "guidanceScale");
  request.guidance_end = number(object, "guidanceEnd");
  request.deep_cache = integer(object, "deepCache");
  request.scheduler = read_scheduler(object.Get("scheduler").As<Napi::Object>());
  request.norm_over_frames = flag(object, "normOverFrames");
  request.motion_norm_over_frames = flag(object, "motionNormOverFrames");
  request.preview = flag(object, "preview");
  request.deliver_frames = flag(object, "deliverFrames");
  request.keep_floats = flag(object, "keepFloats");
  request.host_free = static_cast<uint64_t>(object.Get("hostFree").ToNumber().Int64Value());
  request.seeds = storage.seeds.data();
}

Napi::Error make_error(Napi::Env env, ad_status status, const ad_error& error) {
  Napi::Error failure = Napi::Error::New(env, error.message);
  failure.Set("status", Napi::Number::New(env, status));
  failure.Set("detail", Napi::String::New(env, error.detail));
  return failure;
}

Napi::Value take_result(Napi::Env env, const EngineApi& api, ad_result* result) {
  const std::unique_ptr<ad_result, decltype(api.result_free)> owned(result, api.result_free);
  Napi::Object object = Napi::Object::New(env);
  for (size_t i = 0; i < api.result_count(result); ++i) {
    object.Set(api.result_name(result, i), tensor_value(env, api.result_tensor(result, i)));
  }
  return object;
}

}  // namespace addon
