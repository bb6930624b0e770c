/** What a user should know about a plan although nothing is wrong with it. */
import type { Notice } from '../events.ts';
import type { MotionVersion } from '../options.ts';
import type { OpenedModel } from './identify.ts';
import { listingText } from './identity.ts';
import type { PlanSources } from './plan.ts';

/**
 * Notices about networks that are kept from the base, versions that were assumed, tensors that are not used.
 * `version` is the one that was given for the motion module.
 */
export function planNotices(sources: PlanSources, version: MotionVersion | undefined): Notice[] {
  const { base, checkpoint, vae, motion: module } = sources;
  const opened = [base, checkpoint, vae, module].filter((model) => model !== undefined);
  return [
    ...keptNetworks(sources),
    ...(sources.motion === undefined ? [] : assumedVersion(sources.motion, version)),
    ...unusedMotion(sources),
    ...[...new Set(opened)].flatMap(unusedTensors),
  ];
}

function keptNetworks({ base, checkpoint, vae: separate }: PlanSources): Notice[] {
  if (checkpoint === undefined) return [];
  const { vae, textEncoder } = checkpoint.identity.holds;
  const kept = (code: string, title: string): Notice => ({
    code,
    message: `${checkpoint.path} has no ${title}; the one of ${base.path} is kept.`,
  });
  return [
    ...(vae || separate !== undefined ? [] : [kept('kept-vae', 'VAE')]),
    ...(textEncoder ? [] : [kept('kept-text-encoder', 'text encoder')]),
  ];
}

function assumedVersion({ path, identity }: OpenedModel, version: MotionVersion | undefined): Notice[] {
  const found = identity.motion;
  if (!found?.assumed || version !== undefined) return [];
  const message =
    found.version === 'v3'
      ? `${path} does not say whether it is a v1 or a v3 motion module: it has no position table. It is taken ` +
        "as v3 with 32 positions; give `version: 'v1'` if it is v1."
      : `${path} does not say whether it is AnimateDiff v2 or AnimateLCM, which diffusers saves alike. It is ` +
        "taken as v2; give `version: 'animatelcm'` if it is AnimateLCM, which needs few steps.";
  return [{ code: 'motion-version-assumed', message }];
}

function unusedMotion({ base, checkpoint, motion }: PlanSources): Notice[] {
  const holders = [base, checkpoint].filter(
    (model) => model?.identity.holds.motion && model.path !== motion?.path,
  );
  return holders.flatMap((model) => ({
    code: 'unused-motion-modules',
    message: `The motion modules in ${model?.path} are not used. To use them, give it as \`motionModule\` too.`,
  }));
}

function unusedTensors({ path, identity }: OpenedModel): Notice[] {
  if (identity.unknown.count === 0) return [];
  const message = `${path} has tensors that no network takes, and that are not used: ${listingText(identity.unknown)}.`;
  return [{ code: 'unused-tensors', message }];
}
