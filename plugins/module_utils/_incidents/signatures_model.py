# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of models, configuration and installation. Data."""

from __future__ import annotations

from .signature import Rank, Section, Signature

MODEL_SIGNATURES = (
    Signature(
        "corrupt_weights",
        "fetch the model again: its files are incomplete or do not belong together",
        Section.MODEL,
        (
            r"SafetensorError|HeaderTooLarge|MetadataIncompleteBuffer|InvalidHeader|deserializing header",
            r"header too (large|small)",
            r"incomplete metadata|size mismatch for|shape '.*' is invalid for input|PytorchStreamReader",
            r"failed finding central directory",
            r"KeyError: ['\"][\w.]*\.[\w.]*(weight|bias|scale|proj|norm|embed|expert|layer|qzeros|head)[\w.]*['\"]",
            r"KeyError: ['\"](?:\w*weight\w*|lm_head|embed_tokens)['\"]",
            r"weights? (were |are |was )?not (initialized|found|loaded)",
            r"[Nn]o module or parameter named|Missing key\(s\) in state_dict",
            r"Unexpected key\(s\) in state_dict|loading state_dict",
            r"(loaded_weight|param(_data)?|self\.data|checkpoint)\.(shape|size).*==|weight shape mismatch",
            r"Attempted to load weight",
            r"The size of tensor \w+ \(\d+\) must match|[Cc]hecksum mismatch|Consistency check failed|hash mismatch",
            r"UnpicklingError|invalid load key|[Uu]nexpected (EOF|end of file)|EOFError: Ran out of input",
            r"JSONDecodeError|is not (a )?valid JSON|[Ii]nvalid JSON|git-?lfs|Invalid magic",
            r"GGUF magic invalid|unexpected end of (data|input)",
            r"(?i)(weights?|checkpoint|shard|safetensors|tensor)\b.*(corrupt|truncated|incomplete|damaged|missing)",
        ),
        ("safetensors_rust.SafetensorError: Error while deserializing header",),
    ),
    Signature(
        "gated_model",
        "accept the model's licence, and give a token that may read it; or bring the model in a bundle",
        Section.MODEL,
        (
            r"(?i)gated repo|GatedRepoError|\b40[13] Client Error|(Unauthorized|Forbidden) for url",
            r"(?i)access to model .* is restricted",
            r"(?i)(you )?must (be|have) (authenticated|access)",
            r"(?i)invalid (user )?(token|credentials|username or password)",
            r"(?i)must accept (its|the) (licen|condition)",
            r"(?i)awaiting a review from the repo authors|not in the authorized list",
            r"(?i)HTTP ?(Status)?Error: 40[13]\b|40[13] (Unauthorized|Forbidden)",
        ),
        ("OSError: You are trying to access a gated repo.",),
    ),
    Signature(
        "hub_offline",
        "the host does not reach the hub, or may not: state a directory of the host as model, and fetch it beforehand",
        Section.MODEL,
        (
            r"LocalEntryNotFoundError|outgoing traffic has been disabled|OfflineModeIsEnabled|offline mode is enabled",
            r"HF_HUB_OFFLINE|TRANSFORMERS_OFFLINE",
            r"[Cc](ouldn't|ould not|annot) (connect|reach|resolve).*(huggingface|hf\.co|modelscope|hub)",
            r"(?i)(huggingface|hf\.co|modelscope|hub)\b.*(max retries|name resolution|unreachable|timed out|refused)",
            r"(?i)(huggingface|hf\.co|modelscope|hub)\b.*(failed to resolve|CERTIFICATE)",
            r"(?i)(retries|name resolution|unreachable|failed to resolve|CERTIFICATE).*(huggingface|hf\.co|modelscope)",
        ),
        ("huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files in the disk cache",),
    ),
    Signature(
        "model_absent",
        "check the model's path or name, and that config.json and the weights lie there",
        Section.MODEL,
        (
            r"[Ii]nvalid repository ID or local directory|is not a (valid )?(local folder|model identifier)",
            r"RepositoryNotFoundError",
            r"\b404 Client Error|Repo id must (be|use)|HFValidationError|RevisionNotFoundError",
            r"EntryNotFoundError|Entry Not Found",
            r"does not appear to have (a|any) file|no file named|Cannot find any (model )?weights",
            r"No (safetensors|model) weights",
            r"Can't load the (configuration|model) (of|for)|Unrecognized model in|Should have a `model_type`",
            r"[Nn]o config(\.json)? (file )?(was )?found",
            r"[Mm]odel (path|directory|file|\S+) (does not|doesn't) exist|(?i:no such (model|repo))",
            r"No model architectures are specified",
            r"(?i)model(_path)? .*(not found|could not be found)|unable to find (a )?(config|model)\b",
        ),
        ("ValueError: Invalid repository ID or local directory specified: '/srv/models/mini'.",),
    ),
    Signature(
        "tokenizer",
        "bring the model's tokenizer files, or an engine version that knows their class",
        Section.MODEL,
        (
            r"Can't load tokenizer|backend tokenizer|[Tt]okenizer class \S+ does not exist|TokenizersBackend",
            r"(?i)tokenizer.*(not found|missing|could not|cannot|can't|unable|failed|not exist|no such|invalid)",
            r"(?i)(load|find|instantiate|initialize|convert|parse|missing|no) (the |a |slow |fast |any )*tokenizer",
            r"(?i)untagged enum",
            r"(?i)vocab(ulary)? (file|from file)|sentencepiece|tiktoken|tekken|merges\.txt|unable to load vocabulary",
        ),
        (
            "OSError: Can't load tokenizer for '/srv/m/x'. If you were trying to load it from 'https://huggingface.co/models'",
        ),
    ),
    Signature(
        "chat_template",
        "give the service a chat template that parses (engine_args chat-template)",
        Section.MODEL,
        (r"(?i)chat[ _-]?template|TemplateSyntaxError|TemplateNotFound|TemplateAssertionError|jinja2\.exceptions",),
        ("ValueError: The supplied chat template (/srv/m/x.jinja) looks like a file path, but it failed to be opened",),
    ),
    Signature(
        "trust_remote_code",
        "read the code that the model brings, and only where you trust it set engine_args trust-remote-code: true",
        Section.MODEL,
        (r"trust_remote_code|trust-remote-code|contains custom code|execute (the )?(remote|custom) code",),
        ("Value error, The repository /srv/m/x contains custom code which must be executed to correctly load",),
    ),
    Signature(
        "unknown_architecture",
        "deploy an engine version that knows the model's architecture",
        Section.MODEL,
        (
            r"does not recognize this architecture|[Mm]odel architectures? .*(not supported|unsupported|unknown)",
            r"(no|without( an?)?) vLLM implementation",
            r"(?i:(unknown|unsupported|unrecognized) (model )?(architecture|model type|configuration class))",
            r"[Mm]odel type .*(not supported|unsupported|not recogni[sz]ed|unknown)|Cannot find model (module|class)",
            r"architecture \S+ is not supported|not compatible with vLLM|KeyError: 'model_type'|[Nn]o model class",
        ),
        (
            "ValueError: Model architectures ['KimiK3ForConditionalGeneration'] are not supported for now.",
            "Value error, The checkpoint has model type `x` but Transformers does not recognize this architecture",
        ),
    ),
    Signature(
        "uuid_unsupported",
        "deploy engine 0.23 or newer: older ones cannot read GPUs by UUID, nor parts of a GPU (MIG)",
        Section.CONFIGURATION,
        (r"invalid literal for int\(\).*'(GPU|MIG)-",),
        ("ValueError: invalid literal for int() with base 10: 'GPU-00000000-0000-4000-8000-000000000001'",),
    ),
    Signature(
        "python_headers_missing",
        "install Python's headers on the host (python3-dev), or set engine_args enforce-eager: true",
        Section.INSTALLATION,
        (r"(?i)Python\.h\b|pyconfig\.h|python3?(\.\d+)?-dev(el)?\b",),
        ("/tmp/tmps1rkq3y3/main.c:5:10: fatal error: Python.h: No such file or directory",),
    ),
    Signature(
        "nvcc_missing",
        "install the CUDA toolkit of the engine's CUDA version, or choose a backend that needs no compilation",
        Section.INSTALLATION,
        (
            r"(?i)(find|found|missing|install|no such file|not found|locate).*\bnvcc\b",
            r"(?i)\bnvcc\b.*(not found|no such|missing|non-zero|fatal)",
            r"CUDA_HOME|CUDA_PATH|cuda_home|CUDA toolkit (is )?(not|missing)",
            r"fatal error: (cuda|cublas|cusparse|curand|nv|cutlass)\S*\.h",
            r"nvcc fatal|[Nn]o CUDA (runtime|toolkit) is found|libdevice.*(not found|missing)",
        ),
        ("RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist",),
    ),
    Signature(
        "ninja_missing",
        "put ninja on the PATH of the unit (the engine's environment has it in bin), or install ninja-build",
        Section.INSTALLATION,
        (
            r"(?i)ninja is required|ninja: (command )?not found|no such file or directory: '\S*ninja'",
            r"(?i)(unable|could not|cannot|failed) (to )?(find|locate|run|execute) ninja",
            r"(?i)No module named 'ninja'|ninja (is )?not (installed|available)",
        ),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'ninja'",),
    ),
    Signature(
        "compiler_missing",
        "install a C compiler on the host (build-essential), or set engine_args enforce-eager: true",
        Section.INSTALLATION,
        (
            r"(?i)(find|found|no working|missing|locate|install)( \w+)? (C|C\+\+|CXX|host) compiler",
            r"(?i)InvalidCxxCompiler",
            r"(?i)no such file or directory: '\S*\b(gcc|g\+\+|cc|c\+\+|clang|clang\+\+|ld|as)(-\d+)?'",
            r"\b(gcc|g\+\+|cc|c\+\+|clang|cc1plus|cc1|ld)(-\d+)?: (command )?not found",
            r"cannot execute '?(cc1|as|ld)|command '\S*gcc' failed",
            r"cannot find -l\w+",
            r"fatal error: (std\w+|assert|limits|features|math|string|errno|bits/\S+|sys/\S+)\.h|crt[1in]\.o",
            r"(?i)compiler .*(is not|not) (installed|available|found)|unable to execute '?\S*(gcc|g\+\+|cc)\b",
        ),
        ("RuntimeError: Failed to find C compiler. Please specify via CC environment variable",),
        symptoms=(r"Command '?\[?.?\S*(gcc|g\+\+|clang|/cc|/c\+\+)\b.* returned non-zero|ld returned \d+ exit status",),
    ),
    Signature(
        "compilation_failed",
        "set engine_args enforce-eager: true or another attention backend, and report it to the engine's makers",
        Section.INSTALLATION,
        (
            r"torch\._(inductor|dynamo)\.exc\.|BackendCompilerFailed|CompilationError|InductorError|LoweringException",
            r"(?i)ninja: build stopped|ninja build failed|error building extension",
            r"(?i)\bJIT (compilation|build).*fail|failed to compile",
            r"PTXASError|ptxas (error|fatal)|PassManager::run failed|LLVM ERROR|mlir.*(error|fail)",
            r"nvrtc: error|CppCompileError",
            r"Command '?\[?'?ninja\b.*non-zero",
        ),
        ("torch._inductor.exc.InductorError: LoweringException: AssertionError",),
        rank=Rank.SYMPTOM,
    ),
    Signature(
        "broken_installation",
        "install the engine anew (remove its version's directory first): its parts do not fit each other or the host",
        Section.INSTALLATION,
        (
            r"undefined symbol|symbol lookup error|error while loading shared libraries",
            r"cannot open shared object file",
            r"version `?'?(GLIBC|GLIBCXX|CXXABI)[\w.]*'? not found|ModuleNotFoundError|No module named",
            r"cannot import name",
            r"Torch not compiled with CUDA|PackageNotFoundError|No package metadata|DistributionNotFound",
            r"numpy\.dtype size changed",
            r"'_OpNamespace'|operator \S+::\S+ does not exist|Could not run '\S+::\S+' with arguments",
            r"compiled using NumPy",
            r"bad interpreter|[Ee]xec format error|Failed at step EXEC|status=203/EXEC",
            r"code=exited, status=12[67]/|wrong ELF class",
            r"file too short|invalid ELF header|partially initialized module|has no attribute '_C'",
            r"CUDA extension .*not (built|installed)",
        ),
        ("ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",),
        symptoms=(r"^ImportError\b|^AttributeError: module ",),
    ),
    Signature(
        "bad_configuration",
        "correct the option that the line names",
        Section.CONFIGURATION,
        (
            r"error: (unrecognized arguments|argument |the following arguments|ambiguous option)",
            r"greater than the derived",
            r"(?i)no such option|unexpected keyword argument|unknown (flag|option|argument)",
            r"(?i)invalid (choice|value for|option)",
        ),
        (
            "vllm: error: unrecognized arguments: --no-such-flag",
            "ValueError: User-specified max_model_len (131072) is greater than the derived max_model_len",
        ),
        symptoms=(
            r"^(Value error|Assertion failed), |validation errors? for \w*(Config|Args|Params)\b|\[type=\w+[],]",
        ),
    ),
    Signature(
        "bad_configuration",
        "correct the option that the line names",
        Section.CONFIGURATION,
        (
            r"(?i)^\S*(ValueError|NotImplementedError|AssertionError|TypeError|RuntimeError|ConfigError)\b.*("
            r"not supported|unsupported|does not support|only supports?|must be|must not|should be|divisible|"
            r"incompatible|"
            r"not compatible|cannot be used|can not be used|can't be used|requires?\b|not allowed|expected one of|"
            r"is not a valid|invalid value|unknown \w+|not recogni[sz]ed|is (larger|smaller|greater) than|"
            r"exceeds?|out of range|please (set|use|specify|enable|disable|decrease|increase|remove))",
            r"^(YAMLError|yaml\.\S+Error|argparse\.\S+|tomllib?\.\S+)\b",
        ),
        ("ValueError: Total number of attention heads (25) must be divisible by tensor parallel size (2).",),
        rank=Rank.SYMPTOM,
        general=True,
    ),
)
