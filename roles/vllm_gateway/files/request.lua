-- Copyright: (c) 2026, The llmops.inference maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Reads the body of a request as strictly as an engine would or stricter. The gateway then routes by the same model that
-- the engine will read: RFC 8259 in UTF-8, one object, `model` in it once and as text.  HAProxy's own json_query takes the
-- first match in a text that it does not check.
--
-- The work is bounded: a few passes of Lua's C library over the text, and at most MOST_VALUES values read one by one.
-- Lists of token ids are checked as a whole and need no value each.
--
-- http-request lua.read_request   sets txn.model, or txn.problem to a sentence; and of the key's sequences per minute
--                                 txn.sequences_spent, or txn.sequences_exhausted where the request is too much now

local DEEPEST = 100
local MOST_VALUES = 65536
-- Longer names are no members that count here, longer values no model: letters in \u escapes have six bytes.
local LONGEST_NAME = 64
local LONGEST_MODEL = 8192
local MOST_SEQUENCES = 2 ^ 31

local SIMPLE_ESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- Members that decide how many sequences an engine generates. An engine takes the last of several.
local PROMPTS = { prompt = true, input = true, messages = true }
local SAMPLES = { n = true, best_of = true }

-- Of a list of integers, the forms that make it invalid.
local INVALID_LISTS = { ",[ \t\r\n]*,", "%d[ \t\r\n]+%d", "%f[%d]0%d" }

-- Each reader takes the document and a position and returns the position after what it read; it raises a sentence.
-- `document.text` has no escapes any more, `document.left` is the number of values that may still come.

local function skip_space(text, at)
  return text:match("^[ \t\r\n]*()", at)
end

-- Returns the text with other characters of the same number in place of each escape.
local function without_escapes(text)
  if text:find("\\", 1, true) then
    -- From left to right, so that of \\\\u the second backslash begins no escape.
    text = text:gsub('\\["\\/bfnrt]', "__"):gsub("\\u%x%x%x%x", "______")
    if text:find("\\", 1, true) then
      error("an unknown escape", 0)
    end
  end
  return text
end

local function string_end(text, at)
  at = text:find('["\0-\31]', at + 1)
  if not at or text:byte(at) ~= 34 then
    error(at and "a control character in a string" or "a string without an end", 0)
  end
  return at + 1
end

local function unescaped(literal)
  local inner = literal:sub(2, -2)
  if not inner:find("\\", 1, true) then
    return inner
  end
  return (inner:gsub("\\(.)(%x?%x?%x?%x?)", function(kind, digits)
    return kind == "u" and utf8.char(tonumber(digits, 16)) or SIMPLE_ESCAPES[kind] .. digits
  end))
end

local function number_end(text, at)
  local after = text:match("^-?0()", at) or text:match("^-?[1-9]%d*()", at)
  if not after then
    error("something that is no value", 0)
  end
  after = text:match("^%.%d+()", after) or after
  return text:match("^[eE][+-]?%d+()", after) or after
end

-- Returns the position after the longest list of integers and commas that begins here; nil where a single value does.
local function integers_end(text, at)
  local after = text:match("^%d[%d, \t\r\n]*%d()", at)
  if not after then
    return nil
  end
  local list = text:sub(at, after - 1)
  if text:find("^[.eE]", after) then -- the last number is no integer: all before it
    list = list:match("^(.*%d)%D+%d*$")
  end
  if not list or not list:find(",", 1, true) then
    return nil
  end
  for _, invalid in ipairs(INVALID_LISTS) do
    if list:find(invalid) then
      error("a list of numbers without a comma or with something that is no number", 0)
    end
  end
  return at + #list
end

local value_end

-- Returns also how many strings and lists are in it.
local function array_end(document, at, depth)
  local text, several = document.text, 0
  at = skip_space(text, at + 1)
  if text:byte(at) == 93 then
    return at + 1, several
  end
  while true do
    local first = text:byte(at)
    if first == 34 or first == 91 then
      several = several + 1
    end
    at = skip_space(text, integers_end(text, at) or value_end(document, at, depth))
    local mark = text:byte(at)
    if mark == 93 then
      return at + 1, several
    elseif mark ~= 44 then
      error("an array without a comma or an end", 0)
    end
    at = skip_space(text, at + 1)
  end
end

-- `visit`, where given, learns of each member: where its name and its value begin, where they end, and how many strings
-- and lists the value has where it is a list.
local function object_end(document, at, depth, visit)
  local text = document.text
  at = skip_space(text, at + 1)
  if text:byte(at) == 125 then
    return at + 1
  end
  while true do
    if text:byte(at) ~= 34 then
      error("an object whose member has no name", 0)
    end
    local name, name_after = at, string_end(text, at)
    at = skip_space(text, name_after)
    if text:byte(at) ~= 58 then
      error("a name without a colon", 0)
    end
    at = skip_space(text, at + 1)
    local after, several = value_end(document, at, depth)
    if visit then
      visit(name, name_after, at, after, several)
    end
    at = skip_space(text, after)
    local mark = text:byte(at)
    if mark == 125 then
      return at + 1
    elseif mark ~= 44 then
      error("an object without a comma or an end", 0)
    end
    at = skip_space(text, at + 1)
  end
end

function value_end(document, at, depth)
  document.left = document.left - 1
  if document.left < 0 then
    error("more than " .. MOST_VALUES .. " values", 0)
  end
  local text = document.text
  local first = text:byte(at)
  if first == 34 then
    return string_end(text, at)
  elseif first == 123 or first == 91 then
    if depth >= DEEPEST then
      error("values nested more than " .. DEEPEST .. " deep", 0)
    end
    return (first == 123 and object_end or array_end)(document, at, depth + 1)
  end
  return text:match("^true()", at) or text:match("^false()", at) or text:match("^null()", at) or number_end(text, at)
end

-- Returns the members of the body that count here: each the text of its value, and `several` of it.
local function read_members(original)
  -- The second: halves of surrogate pairs, which are no characters. Lua 5.4 finds them itself.
  if not utf8.len(original) or (original:find("\237", 1, true) and original:find("\237[\160-\191]")) then
    error("bytes that are no UTF-8", 0)
  end
  local document = { text = without_escapes(original), left = MOST_VALUES }
  local at = skip_space(original, 1)
  if original:byte(at) ~= 123 then
    error("something that is no object", 0)
  end
  local members, repeated = {}, nil
  local after = object_end(document, at, 1, function(name, name_after, from, to, several)
    local member = name_after - name <= LONGEST_NAME and unescaped(original:sub(name, name_after - 1))
    if member == "model" or PROMPTS[member] or SAMPLES[member] then
      repeated = repeated or (members[member] and member)
      members[member] = { value = original:sub(from, math.min(to - 1, from + LONGEST_MODEL)), several = several }
    end
  end)
  if skip_space(original, after) <= #original then
    error("something after the object", 0)
  end
  return members, repeated
end

-- How many samples a member asks for; nil where an engine might read another number.
local function samples(member)
  if not member or member.value == "null" then
    return 1
  end
  return tonumber(member.value:match('^"?(%d+)"?$') or member.value:match("^(%d+)%.0+$"))
end

-- How many sequences an engine generates for a request: every prompt of a list, as many times as samples are asked for.
-- Returns nil where the number of samples is none.
local function sequences_of(members)
  local prompts, n, best_of = 1, samples(members.n), samples(members.best_of)
  for name in pairs(PROMPTS) do
    prompts = math.max(prompts, members[name] and members[name].several or 1)
  end
  return n and best_of and math.tointeger(math.min(prompts * math.max(1, n, best_of), MOST_SEQUENCES))
end

-- Returns the model and the number of sequences that are asked for, or nil and what is wrong in a sentence.
local function request_of(text)
  local ok, members, repeated = pcall(read_members, text)
  if not ok then
    return nil, "The body cannot be read as JSON: it has " .. tostring(members) .. "."
  elseif repeated then
    return nil, "The body states " .. repeated .. " more than once."
  elseif not members.model or members.model.value:byte() ~= 34 then
    return nil, "The body has to state model, as a string."
  elseif #members.model.value > LONGEST_MODEL then
    return nil, "The model has a longer name than any."
  end
  local model, sequences = unescaped(members.model.value), sequences_of(members)
  if model:find("[\0-\31]") then
    return nil, "The model has a control character in its name."
  elseif not sequences then
    return nil, "n and best_of must be whole numbers."
  end
  return model, sequences
end

-- Returns what a key has spent after a request; nil where the request does not fit now. The sequences are kept as a
-- bucket that empties evenly in a minute: `spent` of them were in it at second `since`.
local function spent_after(spent, since, now, per_minute, sequences)
  local left = math.max(0, spent - per_minute * math.max(0, now - since) // 60)
  return left + sequences <= per_minute and left + sequences or nil
end

if core then
  core.register_action("read_request", { "http-req" }, function(txn)
    local model, found = request_of(txn.f:req_body() or "")
    local per_minute = txn:get_var("txn.sequences_limit")
    if not model then
      txn:set_var("txn.problem", found)
    elseif found > per_minute then
      txn:set_var("txn.problem", "The request asks for " .. found .. " sequences, prompts times samples; the limit is "
        .. per_minute .. " in a minute: split it.")
    else
      local spent = spent_after(txn.f:sc_get_gpt(1, 0), txn.f:sc_get_gpt(0, 0), core.now().sec, per_minute, found)
      txn:set_var("txn.model", model)
      txn:set_var(spent and "txn.sequences_spent" or "txn.sequences_exhausted", spent or 1)
    end
  end)
end

return request_of, spent_after
