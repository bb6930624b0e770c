// DDIM against values computed with diffusers' DDIMScheduler and by hand.

#include "../engine/schedulers/ddim.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include "../engine/error.h"
#include "../engine/sampler/noise.h"
#include "../engine/schedulers/betas.h"
#include "check.h"

using animatediff::Ddim;

namespace {

ad_scheduler options(ad_spacing spacing, int32_t steps) {
  ad_scheduler scheduler{};
  scheduler.betas = AD_LINEAR;
  scheduler.beta_start = 0.00085;
  scheduler.beta_end = 0.012;
  scheduler.spacing = spacing;
  scheduler.steps = steps;
  scheduler.steps_offset = 1;
  scheduler.set_alpha_to_one = 1;
  scheduler.prediction = AD_EPSILON;
  return scheduler;
}

void alphas_match_the_reference() {
  const auto linear = animatediff::alphas_cumprod(AD_LINEAR, 0.00085, 0.012);
  EXPECT_NEAR(linear[0], 0.99914998, 1e-7);
  EXPECT_NEAR(linear[500], 0.16077162, 1e-7);
  EXPECT_NEAR(linear[961], 0.0024783323, 1e-8);
  EXPECT_NEAR(linear[999], 0.0015789628, 1e-8);
  const auto scaled = animatediff::alphas_cumprod(AD_SCALED_LINEAR, 0.00085, 0.012);
  EXPECT_NEAR(scaled[1], 0.99829602, 1e-7);
  EXPECT_NEAR(scaled[999], 0.00466010, 1e-7);
}

void timesteps_match_the_reference() {
  const Ddim leading(options(AD_LEADING, 25));
  EXPECT(leading.timesteps().front() == 961);
  EXPECT(leading.timesteps()[1] == 921);
  EXPECT(leading.timesteps().back() == 1);
  const Ddim linspace(options(AD_LINSPACE, 25));
  const std::vector<float> expected{999, 957, 916, 874, 832, 791, 749, 708, 666, 624, 583, 541, 500,
                                    458, 416, 375, 333, 291, 250, 208, 166, 125, 83,  42,  0};
  EXPECT(linspace.timesteps() == expected);
  const Ddim trailing(options(AD_TRAILING, 5));
  EXPECT((trailing.timesteps() == std::vector<float>{999, 799, 599, 399, 199}));
}

void coefficients_match_the_reference() {
  std::vector<at::Generator> none;
  const at::Tensor one = at::ones({1});
  const at::Tensor zero = at::full({1}, 0.0);
  Ddim scheduler(options(AD_LEADING, 25));
  EXPECT_NEAR(scheduler.step(0, zero, one, none).item().toDouble(), 1.2566692, 1e-6);
  EXPECT_NEAR(scheduler.step(0, one, zero, none).item().toDouble(), -0.2570699, 1e-6);
  EXPECT_NEAR(scheduler.step(24, zero, one, none).item().toDouble(), 1.0008563, 1e-6);
  EXPECT_NEAR(scheduler.step(24, one, zero, none).item().toDouble(), -0.0413933, 1e-6);
}

void impossible_step_counts_are_refused() {
  EXPECT_STATUS(Ddim(options(AD_LEADING, 0)), AD_INVALID_ARGUMENT);
  EXPECT_STATUS(Ddim(options(AD_LEADING, 1001)), AD_INVALID_ARGUMENT);
  EXPECT_STATUS(Ddim(options(AD_LEADING, 1000)), AD_INVALID_ARGUMENT);
  EXPECT(Ddim(options(AD_TRAILING, 1000)).timesteps().back() == 0);
}

void noise_matches_the_reference() {
  std::vector<at::Generator> generators{animatediff::cpu_generator(10788741199826055526U)};
  const at::Tensor noise = animatediff::gaussian({1, 4, 16, 32, 32}, generators).flatten();
  EXPECT_NEAR(noise[0].item().toDouble(), 1.4511597, 1e-6);
  EXPECT_NEAR(noise[1].item().toDouble(), -2.0046399, 1e-6);
  EXPECT_NEAR(noise[2].item().toDouble(), 1.6008718, 1e-6);
  EXPECT_NEAR(noise[3].item().toDouble(), 0.5280931, 1e-6);
}

void a_clip_does_not_depend_on_its_neighbours() {
  std::vector<at::Generator> both{animatediff::cpu_generator(1), animatediff::cpu_generator(2)};
  std::vector<at::Generator> second{animatediff::cpu_generator(2)};
  const at::Tensor batch = animatediff::gaussian({2, 4, 3, 8, 8}, both);
  EXPECT(batch[1].equal(animatediff::gaussian({1, 4, 3, 8, 8}, second)[0]));
}

}  // namespace

int main() {
  alphas_match_the_reference();
  timesteps_match_the_reference();
  coefficients_match_the_reference();
  impossible_step_counts_are_refused();
  noise_matches_the_reference();
  a_clip_does_not_depend_on_its_neighbours();
  return check::finish("ddim");
}
