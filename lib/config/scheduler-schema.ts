/** What a configuration may say about the scheduler: its name, or a mapping with the options that it has. */
import { z } from 'zod';
import {
  BETA_SCHEDULES,
  orList,
  PREDICTION_TYPES,
  SCHEDULER_SPELLINGS,
  SCHEDULERS,
  TIMESTEP_SPACINGS,
} from './choices.ts';
import { expecting, oneOf } from './expectations.ts';

/** The end of the sentence “Expected …”. */
export const SCHEDULER_EXPECTED = `${orList(SCHEDULERS)}, or a mapping with name and the options of the scheduler`;

function named<const N extends (typeof SCHEDULERS)[number]>(name: N) {
  return expecting(z.literal(name), orList(SCHEDULERS));
}

const beta = () => expecting(z.number().min(1e-8).max(0.5), 'a number from 1e-8 to 0.5');
const flag = () => expecting(z.boolean(), 'true or false');

const noise = {
  betaSchedule: oneOf(BETA_SCHEDULES).optional().describe('Default: linear, as motion modules were trained.'),
  betaStart: beta().optional().describe('Default: 0.00085.'),
  betaEnd: beta().optional().describe('Default: 0.012.'),
  predictionType: oneOf(PREDICTION_TYPES)
    .optional()
    .describe('What the UNet predicts; euler_a and pndm do not take sample. Default: epsilon.'),
};

const spacing = {
  timestepSpacing: oneOf(TIMESTEP_SPACINGS)
    .optional()
    .describe('Which timesteps are taken. Default: leading for ddim and pndm, else linspace.'),
  stepsOffset: expecting(z.int().min(0).max(999), 'an integer from 0 to 999')
    .optional()
    .describe('Added to the timesteps of leading. Default: 1.'),
};

const eta = expecting(z.number().min(0).max(1), 'a number from 0 to 1')
  .optional()
  .describe('Noise added at each step: 0 is deterministic, 1 is ancestral. Default: 0.');

const karrasSigmas = flag().optional().describe('Noise levels of Karras et al. Default: false.');

const setAlphaToOne = flag()
  .optional()
  .describe("Alpha of the last step is 1. Default: true for ddim with compat 'original', else false.");

const originalInferenceSteps = expecting(z.int().min(1).max(1000), 'an integer from 1 to 1000')
  .optional()
  .describe('Steps of the schedule that the network was distilled on. Default: 50; AnimateLCM: 100.');

export const schedulerSchema = z.union([
  z.enum([...SCHEDULERS, ...SCHEDULER_SPELLINGS]),
  z.discriminatedUnion('name', [
    z.strictObject({ name: named('ddim'), ...spacing, eta, ...noise, setAlphaToOne }),
    z.strictObject({ name: named('euler'), ...spacing, karrasSigmas, ...noise }),
    z.strictObject({ name: named('euler_a'), ...spacing, ...noise }),
    z.strictObject({ name: named('dpm++_2m'), ...spacing, karrasSigmas, ...noise }),
    z.strictObject({ name: named('lcm'), originalInferenceSteps, ...noise }),
    z.strictObject({ name: named('pndm'), ...spacing, ...noise, setAlphaToOne }),
  ]),
]);
