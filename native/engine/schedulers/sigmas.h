// Noise levels sigma = sqrt((1 - alpha) / alpha), in which Euler's method and DPM-Solver++ step.
#pragma once

#include <vector>

namespace animatediff {

/** A noise level for each of the training timesteps, ascending, in float32 as the references compute it. */
std::vector<float> training_sigmas(const std::vector<float>& alphas_cumprod);

/** Levels at fractional timesteps, linear between their neighbours. */
std::vector<double> sigmas_at(const std::vector<float>& training, const std::vector<float>& timesteps);

/** `steps` levels from `largest` down to `smallest`: equation (5) of Karras et al., arXiv 2206.00364, rho = 7. */
std::vector<double> karras_sigmas(double largest, double smallest, int steps);

/** The fractional timestep of a level, linear in log(sigma). */
double timestep_of(double sigma, const std::vector<float>& training);

}  // namespace animatediff
