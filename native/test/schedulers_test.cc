// Schedulers against values computed with diffusers and by hand.

#include "../engine/schedulers/scheduler.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include "../engine/error.h"
#include "../engine/sampler/noise.h"
#include "check.h"

using animatediff::make_scheduler;

namespace {

ad_scheduler options(ad_scheduler_kind kind, ad_spacing spacing, int32_t steps) {
  ad_scheduler scheduler{};
  scheduler.kind = kind;
  scheduler.betas = AD_LINEAR;
  scheduler.beta_start = 0.00085;
  scheduler.beta_end = 0.012;
  scheduler.spacing = spacing;
  scheduler.steps = steps;
  scheduler.steps_offset = 1;
  scheduler.prediction = AD_EPSILON;
  scheduler.original_inference_steps = 100;
  return scheduler;
}

std::vector<float> timesteps(const ad_scheduler& scheduler) { return make_scheduler(scheduler)->timesteps(); }

void timesteps_match_the_reference() {
  using Expected = std::vector<float>;
  EXPECT((timesteps(options(AD_EULER, AD_TRAILING, 4)) == Expected{999, 749, 499, 249}));
  EXPECT((timesteps(options(AD_EULER, AD_LINSPACE, 5)) == Expected{999, 749.25, 499.5, 249.75, 0}));
  EXPECT((timesteps(options(AD_LCM, AD_LEADING, 4)) == Expected{999, 749, 499, 249}));
  EXPECT((timesteps(options(AD_PNDM, AD_LEADING, 5)) == Expected{801, 601, 601, 401, 201, 1}));
  EXPECT((timesteps(options(AD_DPM_SOLVER_2M, AD_LEADING, 5)) == Expected{831, 665, 499, 333, 167}));
  EXPECT((timesteps(options(AD_DPM_SOLVER_2M, AD_LINSPACE, 5)) == Expected{999, 799, 599, 400, 200}));
  ad_scheduler lcm = options(AD_LCM, AD_LEADING, 8);
  lcm.original_inference_steps = 50;
  EXPECT((timesteps(lcm) == Expected{999, 879, 759, 639, 499, 379, 259, 139}));
  ad_scheduler karras = options(AD_DPM_SOLVER_2M, AD_LINSPACE, 5);
  karras.karras_sigmas = 1;
  EXPECT((timesteps(karras) == Expected{999, 784, 449, 75, 0}));
}

void noise_starts_at_the_first_level() {
  EXPECT_NEAR(make_scheduler(options(AD_EULER, AD_TRAILING, 4))->init_noise_sigma(), 25.14612, 1e-5);
  EXPECT_NEAR(make_scheduler(options(AD_EULER, AD_LEADING, 5))->init_noise_sigma(), 8.50272, 1e-5);
  EXPECT_NEAR(make_scheduler(options(AD_LCM, AD_LEADING, 4))->init_noise_sigma(), 1.0, 0.0);
}

void one_euler_step_follows_the_slope() {
  std::vector<at::Generator> none;
  const auto euler = make_scheduler(options(AD_EULER, AD_TRAILING, 4));
  // Sigmas 25.14612 and 6.55721: x + (6.55721 - 25.14612) * output.
  EXPECT_NEAR(euler->step(0, at::ones({1}), at::full({1}, 2.0), none).item().toDouble(), -16.58891, 1e-5);
  EXPECT_NEAR(euler->scale_model_input(0, at::ones({1})).item().toDouble(), 0.0397361, 1e-6);
  EXPECT_NEAR(euler->predict_original(0, at::ones({1}), at::full({1}, 2.0)).item().toDouble(), -23.14612, 1e-5);
}

void a_perfect_network_ends_at_the_clean_sample() {
  // The output that points from any sample to 3: every scheduler without noise must arrive there.
  for (const ad_scheduler_kind kind : {AD_EULER, AD_DPM_SOLVER_2M, AD_LCM}) {
    ad_scheduler scheduler = options(kind, AD_TRAILING, 4);
    scheduler.prediction = AD_SAMPLE;
    const auto sampler = make_scheduler(scheduler);
    std::vector<at::Generator> generators{animatediff::cpu_generator(1)};
    at::Tensor sample = animatediff::gaussian({1, 4}, generators) * sampler->init_noise_sigma();
    for (size_t step = 0; step < 4; ++step) sample = sampler->step(step, at::full({1, 4}, 3.0), sample, generators);
    EXPECT_NEAR((sample - 3.0).abs().max().item().toDouble(), 0.0, 1e-5);
  }
}

void only_schedulers_with_noise_draw_from_the_generators() {
  for (const ad_scheduler_kind kind : {AD_DDIM, AD_EULER, AD_EULER_ANCESTRAL, AD_DPM_SOLVER_2M, AD_LCM, AD_PNDM}) {
    const bool draws = kind == AD_EULER_ANCESTRAL || kind == AD_LCM;
    std::vector<at::Generator> used{animatediff::cpu_generator(3)};
    std::vector<at::Generator> fresh{animatediff::cpu_generator(3)};
    make_scheduler(options(kind, AD_TRAILING, 4))->step(0, at::ones({1, 4}), at::ones({1, 4}), used);
    EXPECT(animatediff::gaussian({1, 4}, used).equal(animatediff::gaussian({1, 4}, fresh)) != draws);
  }
}

void impossible_options_are_refused() {
  for (const ad_scheduler_kind kind : {AD_DDIM, AD_EULER, AD_EULER_ANCESTRAL, AD_DPM_SOLVER_2M, AD_LCM, AD_PNDM}) {
    EXPECT_STATUS(make_scheduler(options(kind, AD_LEADING, 0)), AD_INVALID_ARGUMENT);
    EXPECT_STATUS(make_scheduler(options(kind, AD_LEADING, 1001)), AD_INVALID_ARGUMENT);
  }
  EXPECT_STATUS(make_scheduler(options(AD_LCM, AD_LEADING, 101)), AD_INVALID_ARGUMENT);
  EXPECT_STATUS(make_scheduler(options(static_cast<ad_scheduler_kind>(99), AD_LEADING, 4)), AD_INVALID_ARGUMENT);
  for (const ad_scheduler_kind kind : {AD_EULER_ANCESTRAL, AD_PNDM}) {
    ad_scheduler sample = options(kind, AD_LEADING, 4);
    sample.prediction = AD_SAMPLE;
    EXPECT_STATUS(make_scheduler(sample), AD_INVALID_ARGUMENT);
  }
}

}  // namespace

int main() {
  timesteps_match_the_reference();
  noise_starts_at_the_first_level();
  one_euler_step_follows_the_slope();
  a_perfect_network_ends_at_the_clean_sample();
  only_schedulers_with_noise_draw_from_the_generators();
  impossible_options_are_refused();
  return check::finish("schedulers");
}
