/** Identity of a file that holds networks (a base model, a motion module, a VAE), as opposed to an add-on. */
import type { GraphFamily } from '../graphs.ts';
import { type Architecture, unetArchitecture } from './architecture.ts';
import type { CanonicalWeights, Part } from './canonical.ts';
import { describe } from './description.ts';
import type { ModelFolder } from './folder.ts';
import { type Identity, listing, listingText } from './identity.ts';
import { type FileKind, KIND_USES, type Use } from './kinds.ts';
import { bestMatch, fits, type PartMatch } from './match.ts';
import { detectMotion, isSupportedMotion } from './motion-version.ts';
import { shapeText } from './shapes.ts';
import { vaeArchitecture } from './vae-architecture.ts';

const PARTS: readonly Part[] = ['unet', 'motion', 'vae', 'textEncoder'];

type Matches = Readonly<Partial<Record<Part, PartMatch>>>;

/** What a verdict is based on. */
type Findings = Omit<Identity, 'usableAs' | 'reason' | 'description'> & { readonly supported: boolean };

/** Compares each network in a file with the families of graphs and says what the file is. */
export function identifyNetworks(
  weights: CanonicalWeights,
  families: readonly GraphFamily[],
  origin: {
    readonly folder?: ModelFolder;
    readonly name?: string;
    readonly metadata?: Readonly<Record<string, string>>;
  } = {},
): Identity {
  const { folder, name: fileName, metadata } = origin;
  const matches: Matches = Object.fromEntries(
    PARTS.map((part) => [part, bestMatch(families, part, weights)]),
  );
  const kind = structuralKind(weights, folder);
  const config = folder?.configs[''] ?? folder?.configs.motion_adapter;
  const { name, supported } = KIND_USES[kind].includes('vae')
    ? vaeArchitecture(weights, matches.vae, { config, metadata })
    : architectureOf(weights, matches);
  const findings: Findings = {
    kind,
    architecture: name,
    supported,
    layout: layoutOf(kind, weights),
    holds: {
      unet: weights.parts.unet.size > 0,
      motion: weights.parts.motion.size > 0,
      vae: weights.parts.vae.size > 0,
      textEncoder: weights.parts.textEncoder.size > 0,
    },
    motion:
      weights.parts.motion.size === 0
        ? null
        : detectMotion(weights, matches.motion, { name: fileName, config }),
    emaTensors: weights.emaTensors,
    ...differences(weights, relevantMatches(kind, matches)),
  };
  const { supported: _, ...facts } = findings;
  return { ...facts, description: describe(findings), ...judge(findings) };
}

function structuralKind(weights: CanonicalWeights, folder: ModelFolder | undefined): FileKind {
  const { unet, motion, vae, textEncoder } = weights.parts;
  if (folder !== undefined && !Object.hasOwn(folder.configs, '')) return 'diffusers-folder';
  const several = vae.size > 0 || textEncoder.size > 0;
  if (motion.size > 0 && !several)
    return weights.layouts.motion === 'diffusers' ? 'motion-adapter' : 'motion-module';
  if (unet.size > 0) return several || weights.layouts.unet === 'ldm' ? 'sd-checkpoint' : 'diffusers-unet';
  if (vae.size > 0) return weights.layouts.vae === 'ldm' ? 'vae' : 'diffusers-vae';
  return textEncoder.size > 0 ? 'clip-text' : 'unknown';
}

function layoutOf(kind: FileKind, { layouts }: CanonicalWeights): string | null {
  if (KIND_USES[kind].includes('motionModule')) return layouts.motion ?? null;
  return layouts.unet ?? layouts.vae ?? layouts.textEncoder ?? null;
}

/** By the UNet where there is one, else by whatever is there. */
function architectureOf(weights: CanonicalWeights, matches: Matches): Architecture {
  const bare = weights.parts.unet.size <= 2 ? undefined : unetArchitecture(weights, matches.unet);
  if (bare !== undefined) return bare;
  const match = PARTS.map((part) => matches[part]).find(fits);
  return match === undefined
    ? { name: 'unknown', supported: false }
    : { name: match.family.name, supported: true };
}

/** Of a motion module that was saved with the whole UNet, only the motion modules are of interest. */
function relevantMatches(kind: FileKind, matches: Matches): readonly PartMatch[] {
  const parts = KIND_USES[kind].includes('motionModule') ? (['motion'] as const) : PARTS;
  return parts.map((part) => matches[part]).filter(fits);
}

function differences(weights: CanonicalWeights, matches: readonly PartMatch[]) {
  return {
    missing: listing(matches.flatMap(({ missing }) => missing)),
    mismatched: listing(
      matches.flatMap(({ mismatched }) =>
        mismatched.map(
          ({ name, expected, actual }) => `${name} ${shapeText(actual)} instead of ${shapeText(expected)}`,
        ),
      ),
    ),
    unknown: listing([
      ...weights.unknown,
      ...weights.duplicates,
      ...matches.flatMap(({ surplus }) => surplus),
    ]),
  };
}

/** Which options the file can be given for, and why not for more. */
function judge(findings: Findings): { usableAs: readonly Use[]; reason: string | null } {
  const { kind, motion } = findings;
  if (KIND_USES[kind].length === 0) {
    const reason =
      kind === 'unknown' ? 'nothing in it is known' : 'separate networks of this kind are not taken';
    return { usableAs: [], reason };
  }
  const withMotion = motion !== null && isSupportedMotion(motion.version) && findings.missing.count === 0;
  if (KIND_USES[kind].includes('motionModule')) {
    return withMotion && findings.mismatched.count === 0
      ? { usableAs: ['motionModule'], reason: null }
      : { usableAs: [], reason: incomplete(findings) ?? 'motion modules of this kind are not supported' };
  }
  if (KIND_USES[kind].includes('vae')) return judgeVae(findings);
  const base = judgeBase(findings);
  return withMotion ? { ...base, usableAs: [...base.usableAs, 'motionModule'] } : base;
}

function judgeVae(findings: Findings): { usableAs: readonly Use[]; reason: string | null } {
  const reason = findings.supported
    ? incomplete(findings)
    : `VAEs of the architecture ${findings.architecture} are not supported`;
  return reason === undefined ? { usableAs: ['vae'], reason: null } : { usableAs: [], reason };
}

function judgeBase(findings: Findings): { usableAs: readonly Use[]; reason: string | null } {
  const { holds, architecture, supported } = findings;
  if (!holds.unet) return { usableAs: [], reason: 'it holds no UNet' };
  if (!supported) return { usableAs: [], reason: `the architecture ${architecture} is not supported` };
  const gaps = incomplete(findings);
  if (gaps !== undefined) return { usableAs: [], reason: gaps };
  if (holds.vae && holds.textEncoder) return { usableAs: ['base', 'checkpoint'], reason: null };
  const lacks = [holds.vae ? '' : 'VAE', holds.textEncoder ? '' : 'text encoder']
    .filter(Boolean)
    .join(' and ');
  return {
    usableAs: ['checkpoint'],
    reason: `it has no ${lacks}: give it as \`checkpoint\` beside a complete base`,
  };
}

function incomplete({ missing, mismatched }: Findings): string | undefined {
  if (mismatched.count > 0) return `parameters have other shapes: ${listingText(mismatched)}`;
  return missing.count > 0 ? `parameters are missing: ${listingText(missing)}` : undefined;
}
