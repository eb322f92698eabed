-- Copyright: (c) 2026, The llmops.inference maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Reads the body of a request as strictly as an engine would or stricter, so that what the gateway routes by is what the
-- engine will read: RFC 8259 in UTF-8, one object, `model` in it once and as text.  HAProxy's own json_query takes the
-- first match in a text that it does not check.
--
-- http-request lua.read_model   sets txn.model, or txn.model_problem to what is wrong

local DEEPEST = 100

local SIMPLE_ESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- Each reader takes the text and a position and returns the position after what it read; it raises a sentence.

local function skip_space(text, at)
  return text:match("^[ \t\r\n]*()", at)
end

local function string_end(text, at)
  at = at + 1
  while true do
    at = text:find('["\\\0-\31]', at)
    local found = at and text:sub(at, at)
    if found == '"' then
      return at + 1
    elseif found ~= "\\" then
      error(found and "a control character in a string" or "a string without an end", 0)
    elseif SIMPLE_ESCAPES[text:sub(at + 1, at + 1)] then
      at = at + 2
    elseif text:find("^u%x%x%x%x", at + 1) then
      at = at + 6
    else
      error("an unknown escape in a string", 0)
    end
  end
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

local value_end

local function array_end(text, at, depth)
  at = skip_space(text, at + 1)
  if text:sub(at, at) == "]" then
    return at + 1
  end
  while true do
    at = skip_space(text, value_end(text, at, depth))
    local mark = text:sub(at, at)
    if mark == "]" then
      return at + 1
    elseif mark ~= "," then
      error("an array without a comma or an end", 0)
    end
    at = skip_space(text, at + 1)
  end
end

-- `visit`, where given, learns of each member: its name, and where its value begins and ends.
local function object_end(text, at, depth, visit)
  at = skip_space(text, at + 1)
  if text:sub(at, at) == "}" then
    return at + 1
  end
  while true do
    if text:sub(at, at) ~= '"' then
      error("an object whose member has no name", 0)
    end
    local after = string_end(text, at)
    local name = visit and unescaped(text:sub(at, after - 1))
    at = skip_space(text, after)
    if text:sub(at, at) ~= ":" then
      error("a name without a colon", 0)
    end
    at = skip_space(text, at + 1)
    after = value_end(text, at, depth)
    if visit then
      visit(name, at, after)
    end
    at = skip_space(text, after)
    local mark = text:sub(at, at)
    if mark == "}" then
      return at + 1
    elseif mark ~= "," then
      error("an object without a comma or an end", 0)
    end
    at = skip_space(text, at + 1)
  end
end

function value_end(text, at, depth)
  local first = text:sub(at, at)
  if first == '"' then
    return string_end(text, at)
  elseif first == "{" or first == "[" then
    if depth >= DEEPEST then
      error("values nested more than " .. DEEPEST .. " deep", 0)
    end
    return (first == "{" and object_end or array_end)(text, at, depth + 1)
  end
  return text:match("^true()", at) or text:match("^false()", at) or text:match("^null()", at) or number_end(text, at)
end

local function read_model(text)
  -- The second: halves of surrogate pairs, which are no characters.
  if not utf8.len(text) or text:find("\237[\160-\191]") then
    error("bytes that are no UTF-8", 0)
  end
  local at = skip_space(text, 1)
  if text:sub(at, at) ~= "{" then
    error("something that is no object", 0)
  end
  local models = {}
  local after = object_end(text, at, 1, function(name, from, to)
    if name == "model" then
      models[#models + 1] = text:sub(from, to - 1)
    end
  end)
  if skip_space(text, after) <= #text then
    error("something after the object", 0)
  end
  return models
end

-- What it returns: the model, or nil and what is wrong in a sentence.
local function model_of(text)
  local ok, models = pcall(read_model, text)
  if not ok then
    return nil, "The body is no valid JSON: it has " .. tostring(models) .. "."
  elseif #models > 1 then
    return nil, "The body states model more than once."
  elseif #models == 0 or models[1]:sub(1, 1) ~= '"' then
    return nil, "The body has to state model, as a string."
  end
  local model = unescaped(models[1])
  if model:find("[\0-\31]") then
    return nil, "The model has a control character in its name."
  end
  return model
end

if core then
  core.register_action("read_model", { "http-req" }, function(txn)
    local model, problem = model_of(txn.f:req_body() or "")
    if model then
      txn:set_var("txn.model", model)
    else
      txn:set_var("txn.model_problem", problem)
    end
  end)
end

return model_of
