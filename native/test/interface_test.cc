// The C interface itself: errors instead of exceptions, results, refusal of what was not bound.

#include "../engine/animatediff.h"

#include <cstring>

#include "check.h"

namespace {

ad_engine* make_engine() {
  const ad_engine_options options{AD_CPU, 0, AD_F32, 1, 0, AD_MEMORY_AUTO};
  ad_engine* engine = nullptr;
  ad_error error{};
  EXPECT(ad_engine_create(&options, &engine, &error) == AD_OK);
  return engine;
}

void cpu_is_always_listed() {
  ad_device_info devices[8]{};
  const size_t count = ad_devices(devices, 8);
  EXPECT(count >= 1);
  EXPECT(devices[0].kind == AD_CPU);
  EXPECT(devices[0].total_bytes > 0);
}

void cuda_is_never_replaced_by_the_cpu() {
  const ad_engine_options options{AD_CUDA, 99, AD_F16, 0, 0, AD_MEMORY_AUTO};
  ad_engine* engine = nullptr;
  ad_error error{};
  EXPECT(ad_engine_create(&options, &engine, &error) == AD_DEVICE_UNAVAILABLE);
  EXPECT(engine == nullptr);
  EXPECT(std::strlen(error.message) > 20);
}

void kernels_that_do_not_run_say_why() {
  const char* const problem = ad_cuda_kernels_problem(0);
  EXPECT(std::strstr(problem, "libanimatediff_cuda.so") != nullptr);
  EXPECT(problem == ad_cuda_kernels_problem(0));
}

void networks_run_in_floating_point_only() {
  const ad_engine_options options{AD_CPU, 0, AD_I64, 0, 0, AD_MEMORY_AUTO};
  ad_engine* engine = nullptr;
  EXPECT(ad_engine_create(&options, &engine, nullptr) == AD_INVALID_ARGUMENT);
}

void an_empty_engine_says_what_it_lacks() {
  ad_engine* engine = make_engine();
  ad_request request{};
  ad_result* result = nullptr;
  ad_error error{};
  EXPECT(ad_engine_generate(engine, &request, nullptr, &result, &error) == AD_WEIGHTS_MISSING);
  EXPECT(std::strstr(error.message, "text_encoder") != nullptr);
  EXPECT(result == nullptr);
  ad_engine_destroy(engine);
}

void a_graph_that_is_not_there_is_named() {
  ad_engine* engine = make_engine();
  ad_error error{};
  EXPECT(ad_engine_bind(engine, AD_UNET, "/nonexistent.pt", nullptr, 0, nullptr, &error) == AD_FILE_NOT_FOUND);
  EXPECT(std::strstr(error.message, "/nonexistent.pt") != nullptr);
  ad_engine_destroy(engine);
}

void only_a_network_that_is_bound_can_be_bound_again() {
  ad_engine* engine = make_engine();
  ad_error error{};
  EXPECT(ad_engine_rebind(engine, AD_UNET, nullptr, 0, nullptr, &error) == AD_WEIGHTS_MISSING);
  EXPECT(std::strstr(error.message, "unet") != nullptr);
  ad_engine_destroy(engine);
}

void an_archive_that_cannot_be_written_is_an_error() {
  ad_engine* engine = make_engine();
  ad_error error{};
  EXPECT(ad_engine_bake(engine, "/nonexistent/folder/a.pt", "{}", &error) == AD_OUTPUT);
  EXPECT(ad_engine_bake(nullptr, "a.pt", "{}", &error) == AD_ENGINE_ERROR);
  ad_engine_destroy(engine);
}

void timesteps_come_back_as_a_named_tensor() {
  ad_scheduler scheduler{AD_EULER, AD_LINEAR, 0.00085, 0.012, AD_TRAILING, 4, 1, 1, AD_EPSILON, 0.0, 0, 50};
  ad_result* result = nullptr;
  EXPECT(ad_scheduler_timesteps(&scheduler, &result, nullptr) == AD_OK);
  EXPECT(ad_result_count(result) == 1);
  EXPECT(std::strcmp(ad_result_name(result, 0), "timesteps") == 0);
  const ad_tensor tensor = ad_result_tensor(result, 0);
  EXPECT(tensor.dtype == AD_F32 && tensor.dims == 1 && tensor.shape[0] == 4);
  EXPECT(static_cast<const float*>(tensor.data)[3] == 249.0F);
  ad_result_free(result);
}

}  // namespace

int main() {
  cpu_is_always_listed();
  cuda_is_never_replaced_by_the_cpu();
  kernels_that_do_not_run_say_why();
  networks_run_in_floating_point_only();
  an_empty_engine_says_what_it_lacks();
  a_graph_that_is_not_there_is_named();
  only_a_network_that_is_bound_can_be_bound_again();
  an_archive_that_cannot_be_written_is_an_error();
  timesteps_come_back_as_a_named_tensor();
  return check::finish("interface");
}
